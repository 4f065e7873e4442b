"""The twin of a regression, and of a look ahead."""

cdef class Regression(Walker):
    """The twin of :class:`river_attention.core.Regression`."""

    cdef object detector

    cdef int _read(self, Arena arena) except -1:
        task = known(self.task, NumpyRegression)
        readout = known(task.readout, SingleReadout, Mixture)
        self.detector = task.detector
        layout = self._read_features(task.features, readout.n_answers, 0, arena)
        read_target(task.target, &self.walk.target, arena)
        read_errors(task.errors, &self.walk.errors)
        return self._read_pool(readout, layout, arena)

    cdef int _read_pool(self, object readout, object layout, Arena arena) except -1:
        cdef Pool *pool = &self.walk.pool
        cdef int n = len(readout.experts), i
        cdef Expert *expert
        pool.n, pool.mixes = n, type(readout) is Mixture
        pool.experts = <Expert *>arena.take(n * (sizeof(Expert) // sizeof(double) + 1))
        pool.shares, pool.mean_losses = arena.take(n), arena.take(n)
        pool.errors, pool.losses, pool.sorted = arena.take(n), arena.take(n), arena.take(n)
        read(readout.shares, pool.shares, n)
        read(readout.mean_losses, pool.mean_losses, n)
        pool.n_losses = readout._n_losses
        if not pool.mixes:
            read_noise(readout.noise, &pool.noise)
        else:
            pool.eta, pool.n_far = readout.eta, readout._n_far
            read_mean(readout.scale, &pool.scale)
        for i, (_, part, learner) in enumerate(readout.experts):
            expert = &pool.experts[i]
            place = layout[part]
            if learner is None:
                expert.start, expert.length = place, 1
                continue
            expert.start, expert.length = place.start, place.stop - place.start
            expert.rls = read_rls(known(learner, Linear).rls, arena)
            if expert.rls.p != expert.length or expert.rls.m != 1:
                raise _Unknown(learner)
        return 0

    cdef int _give(self) except -1:
        """Give the state back to the NumPy objects."""
        cdef Pool *pool = &self.walk.pool
        cdef int i
        self._give_features()
        write_target(self.task.target, &self.walk.target)
        write_errors(self.task.errors, &self.walk.errors)
        readout = self.task.readout
        readout.shares = write(pool.shares, pool.n)
        readout.mean_losses = write(pool.mean_losses, pool.n)
        readout._n_losses = pool.n_losses
        if not pool.mixes:
            readout.noise.n, readout.noise.value = pool.noise.n, pool.noise.value
        else:
            readout._n_far = pool.n_far
            readout.scale.n, readout.scale.value = pool.scale.n, pool.scale.value
        for i in range(pool.n):
            if pool.experts[i].rls != NULL:
                write_rls(readout.experts[i].learner.rls, pool.experts[i].rls)
        return 0

    def predict(self, x):
        """The prediction if x came next; None: ask NumPy."""
        if not self.holds and not self._take():
            return None
        self._propose(x)
        return self.kernels.value(&self.walk, self.walk.evidence[self.walk.prediction])

    def distribution(self, x):
        """Mean and variance of the prediction; None: ask NumPy."""
        if not self.holds and not self._take():
            return None
        self._propose(x)
        cdef Walk *s = &self.walk
        cdef double scale = s.target.scale
        if scale > 0.0:
            deviation = min(scale * self._errors().deviation, LIMIT)
            variance = deviation**2 * (1.0 + self.kernels.spread(s, s.evidence))
        else:
            variance = self.target().ignorance
        return self.kernels.value(s, s.evidence[s.prediction]), min(variance, 1e300)

    def intervals(self, x, levels):
        """Where the label lies with these probabilities if x came next; None: ask NumPy."""
        if not self.holds and not self._take():
            return None
        self._propose(x)
        cdef Walk *s = &self.walk
        value = self.kernels.value(s, s.evidence[s.prediction])
        return self.target().around(value, self._errors(), levels)

    cdef object _errors(self):
        """The errors of the task as they are now, for a look that changes nothing."""
        if self.holds and self.dirty:
            write_errors(self.task.errors, &self.walk.errors)
        return self.task.errors

    def learn(self, x, y, w=1.0):
        """Learn a sample; False: nothing was done, ask NumPy."""
        cdef double label = checked_label(y), weight = checked_weight(w)
        cdef Walk *s = &self.walk
        if not self.holds and not self._take():
            return False
        self._propose(x)
        if self.new:
            return False
        if self.detector is None and not self.foreign:
            self._count(self.values, s.complete)
            self.dirty, self.remembers = True, False
            self.changes += 1
            self.kernels.learn(s, label, weight)
            return True
        self._learn_beside(label, weight)
        return True

    def predict_rows(self, names, X, double[::1] answers, Py_ssize_t at=0):
        """Predict the rows from `at` on, the state held still; returns the first left to NumPy."""
        cdef Walk *s = &self.walk
        cdef Rows rows = self._rows(names, X)
        if rows is None:
            return at
        with nogil:
            while at < rows.n and self._propose_row(rows, at, False):
                answers[at] = self.kernels.value(s, s.evidence[s.prediction])
                at += 1
        self._done(False)
        return at

    def learn_rows(
        self, names, X, const double[::1] y, const double[:] w, answers, Py_ssize_t at=0, sizes=None
    ):
        """Learn the rows from `at` on, after predicting them if answers are wanted.

        Returns the first row that is left to NumPy. Where y is NaN time passes without a label.

        Parameters
        ----------
        names, X
            See Rows.
        y, w
            Labels and weights [n].
        answers
            Room for predictions [n], or None.
        at
            The first row.
        sizes
            Room for the size of the target after every row [n], or None.
        """
        cdef Walk *s = &self.walk
        cdef double[::1] out = answers, size = sizes
        cdef bint answers_too = answers is not None, sizes_too = sizes is not None
        cdef Py_ssize_t start = at
        if self.detector is not None:
            return at
        cdef Rows rows = self._rows(names, X)
        if rows is None:
            return at
        with nogil:
            while at < rows.n and self._propose_row(rows, at, True):
                if answers_too:
                    out[at] = self.kernels.value(s, s.evidence[s.prediction])
                self._count_all(self.values, s.complete)
                if y[at] == y[at]:
                    self.kernels.learn(s, y[at], w[at])
                else:
                    self.kernels.commit(s)
                if sizes_too:
                    size[at] = fabs(s.target.mean) + 2.0 * s.target.spread
                at += 1
        self._done(at > start)
        return at

    cdef int _learn_beside(self, double y, double w) except -1:
        """Learn with code of the user beside, which may fail: it comes first."""
        cdef Walk *s = &self.walk
        cdef double r
        cdef bint drifted = False
        cdef bint learns = self.kernels.residual(s, s.evidence, y, &r) != 0
        if learns and w > 0.0:
            drifted = self._drifted(fabs(r - s.evidence[s.prediction]))
        self._commit_foreign()
        self._count(self.values, s.complete)
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.learn(s, y, w)
        if drifted:
            self.task.n_drifts += 1
            self.kernels.reopen(s)
        return 0

    def train(self, evidence, double y, double w):
        """Learn a label with an evidence of now or earlier; False: nothing was done, ask NumPy."""
        cdef Walk *s = &self.walk
        cdef const double[::1] buffer = evidence
        cdef double r = 0.0
        cdef bint learns, drifted = False
        if not self.holds and not self._take():
            return False
        if buffer.shape[0] != s.size:
            return False
        learns = self.kernels.residual(s, &buffer[0], y, &r) != 0
        if learns:
            drifted = w > 0.0 and self._drifted(fabs(r - buffer[s.prediction]))
        self.dirty, self.remembers = True, False
        self.changes += 1
        if learns:
            self.kernels.train(s, &buffer[0], y, r, w)
        if drifted:
            self.task.n_drifts += 1
            self.kernels.reopen(s)
        self.kernels.join(s, y)
        return True

    cdef bint _drifted(self, double error) except -1:
        if self.detector is None:
            return False
        self.detector.update(error)
        return self.detector.drift_detected

    def target(self):
        """The target of the task as it is now, for a look that changes nothing."""
        if self.holds and self.dirty:
            write_target(self.task.target, &self.walk.target)
        return self.task.target

    def branch(self):
        """A twin to look ahead with, on a memory and a target of its own; None: ask NumPy.

        Valid until this one learns.
        """
        if not self.holds and not self._take():
            return None
        cdef Regression branch = Regression(self.task.branch())
        cdef Arena arena = Arena()
        cdef Walk *s = &branch.walk
        cdef Walk *old = &self.walk
        cdef int n
        s[0] = old[0]
        arena.parents.append(self.arena)
        n = s.n_reads + s.n_inputs
        s.evidence, s.raw = arena.take(s.size), arena.take(n)
        branch.seen, branch.values = arena.take(s.n_inputs), s.raw + s.n_reads
        s.target.lags = arena.copy(old.target.lags, s.target.n_lags)
        s.target.raw_lags = arena.copy(old.target.raw_lags, s.target.n_lags)
        s.heads.state = arena.copy(old.heads.state, s.heads.size)
        s.heads.next = arena.take(s.heads.size)
        s.bank.state = arena.copy(old.bank.state, 2 * s.bank.stride)
        s.bank.next = arena.take(2 * s.bank.stride)
        s.before = arena.copy(old.before, s.n_shown)
        s.retrieval.distance = arena.copy(old.retrieval.distance, s.retrieval.window)
        s.retrieval.next = arena.take(s.retrieval.window)
        s.retrieval.scores[0] = arena.take(s.retrieval.window)
        s.retrieval.scores[1] = arena.take(s.retrieval.window)
        branch.arena, branch.encoder = arena, self.encoder
        branch.features = branch.task.features
        branch.foreign, branch.proposals, branch.keys = self.foreign, {}, None
        branch.holds = True
        return branch

    def attention(self):
        """What retrieval looks back to from the step proposed last [metric, temperature, n]."""
        cdef CRetrieval *s = &self.walk.retrieval
        cdef int m
        if not self.walk.has_retrieval:
            return np.zeros((1, 1, 0))
        weights = np.empty((2, 3, s.n if s.n >= 5 else 0))
        for m in range(2 if s.n >= 5 else 0):
            exponents = (write(s.scores[m], s.n) - s.lowest[m]) * s.cold[m]
            weights[m, 0] = np.exp(np.maximum(exponents, -40.0))
            weights[m, 1] = weights[m, 0] ** 4
            weights[m, 2] = weights[m, 1] ** 4
        return weights

    def follow(self, double y):
        """Look ahead: time passes by the step proposed last, with a target."""
        self._commit_foreign()
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.join(&self.walk, y)
        self.kernels.follow(&self.walk)
        return True
