"""The twin of a regression, and of a look ahead."""

cdef class Regression(Walker):
    """The twin of :class:`river_attention.core.Regression`."""

    cdef object detector
    cdef object chunk  # of the trees: where the next rows go
    cdef object trees  # whose nodes are read
    cdef Walk future      # a branch that looks ahead, in buffers that it keeps
    cdef Ahead ahead
    cdef Arena room       # of both
    cdef Arena room_of    # the arena that they were made for

    cdef int _read(self, Arena arena) except -1:
        task = known(self.task, NumpyRegression)
        kind = Mixture if type(task.readout) is Mixture else BoostedMixture
        readout = known(task.readout, SingleReadout, kind)
        self.detector = task.detector
        layout = self._read_features(task.features, readout.n_answers, 0, arena)
        read_target(task.target, &self.walk.target, arena)
        read_errors(task.errors, &self.walk.errors)
        return self._read_pool(readout, layout, arena)

    cdef int _read_pool(self, object readout, object layout, Arena arena) except -1:
        cdef Pool *pool = &self.walk.pool
        cdef int n = len(readout.experts), i
        cdef Expert *expert
        pool.n, pool.mixes = n, type(readout) is not SingleReadout
        pool.n_told, pool.n_awake = n, readout.n_awake
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
        if type(readout) is BoostedMixture:
            pool.n_told = readout.n_told
            self._read_history(arena)
            self.trees = None
            self._read_boosted(readout.boosted)
        elif self.walk.boosted.part >= 0:
            raise _Unknown(readout)
        for i, (_, part, learner) in enumerate(readout.experts[:pool.n_told]):
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

    cdef int _read_history(self, Arena arena) except -1:
        """Which lags the trees see."""
        cdef CBoosted *boosted = &self.walk.boosted
        cdef int n = boosted.n_history, i
        cdef int *history = <int *>arena.take(n)
        lags = self.task.target._in_history
        if boosted.part < 0 or len(lags) != n or max(lags) >= self.walk.target.n_lags:
            raise _Unknown(self.task.target)
        for i in range(n):
            history[i] = lags[i]
        boosted.history = history
        boosted.width = n + self.walk.pool.n_told + 2 * self.walk.n_inputs
        boosted.row = <float *>arena.take(boosted.width)
        return 0

    cdef int _read_boosted(self, object boosted) except -1:
        """The trees, and where the next rows go."""
        cdef CBoosted *s = &self.walk.boosted
        cdef float[:, ::1] rows
        cdef double[::1] steps, weights
        cdef Py_ssize_t at
        cdef const uint8_t[::1] nodes
        cdef const int[::1] roots
        known(boosted, NumpyBoosted)
        if boosted.width > s.width:
            raise _Unknown(boosted)
        self.chunk = chunk = boosted.place(s.width)
        rows, steps, weights, at = chunk.rows, chunk.steps, chunk.weights, chunk.n
        s.rows, s.steps, s.weights = &rows[at, 0], &steps[at], &weights[at]
        s.n_new, s.due = 0, min(boosted.due - boosted.n, chunk.room)
        trees = boosted.trees
        s.fitted = trees is not None
        if not s.fitted or trees is self.trees:
            return 0
        self.trees = trees
        s.n_roots, s.base = len(trees.roots), trees.base
        if s.n_roots:
            if trees.nodes["feature"].max() >= s.width:
                raise _Unknown(trees)
            nodes, roots = trees.nodes.view(np.uint8), trees.roots
            s.nodes, s.roots = <const TreeNode *>&nodes[0], &roots[0]
        return 0

    cdef int _turn(self) except -1:
        """Let the trees do what is due: take over, begin a fit, make room."""
        cdef Pool *pool = &self.walk.pool
        cdef bint sleeps = pool.n_awake < pool.n
        readout = self.task.readout
        readout.boosted.add(self.chunk, self.walk.boosted.n_new)
        self.walk.boosted.n_new = 0
        if not sleeps:
            readout.boosted.turn()
        else:
            # they may wake up, and get a share
            readout.shares = write(pool.shares, pool.n)
            readout.mean_losses = write(pool.mean_losses, pool.n)
            readout.turn()
            read(readout.shares, pool.shares, pool.n)
            read(readout.mean_losses, pool.mean_losses, pool.n)
            pool.n_awake = readout.n_awake
        self._read_boosted(readout.boosted)
        return 0

    cdef bint _is_due(self) noexcept nogil:
        """Whether it is time for the trees to do something."""
        return self.walk.boosted.part >= 0 and self.walk.boosted.n_new >= self.walk.boosted.due

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
        if self.walk.boosted.part >= 0:
            readout.boosted.add(self.chunk, self.walk.boosted.n_new)
            self.walk.boosted.n_new = 0
        for i in range(pool.n_told):
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
            if self._is_due():
                self._turn()
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
                    if self._is_due():
                        with gil:
                            self._turn()
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
        if self._is_due():
            self._turn()
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
            if self._is_due():
                self._turn()
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

    @property
    def n_labels(self):
        """How many labels the target has seen."""
        return self.walk.target.n if self.holds else self.task.target.n

    @property
    def target_size(self):
        """How large targets are, see ``Target.size``."""
        cdef CTarget *t = &self.walk.target
        return fabs(t.mean) + 2.0 * t.spread if self.holds else self.task.target.size

    def shown(self, x, double unit, bint inputs_too, bint forecast_too, list groups):
        """What is shown of x if it came next, see core/outlook.py, as a list; None: ask NumPy.

        Its inputs, and once there was a label the forecast and the lags, if they are wanted; then
        groups of reads: their places in an evidence.
        """
        cdef Walk *s = &self.walk
        cdef int at = 0, n, start
        cdef double[::1] out
        if not self.holds and not self._take():
            return None
        self._propose(x)
        found = np.empty(s.n_inputs + 1 + s.n_lags + s.n_reads)
        out = found
        if inputs_too and s.n_inputs:
            shown_group(s.evidence + s.n_reads + 1 + s.n_lags, s.n_inputs, 0, &out[0])
            at = s.n_inputs
        if s.target.n and forecast_too:
            forecast = self.kernels.value(s, s.evidence[s.prediction])
            out[at] = shown_forecast(forecast, unit)
            at += 1
        if s.target.n and s.target.n_lags:
            shown_group(s.target.lags, s.target.n_lags, 1, &out[at])
            at += s.target.n_lags
        for start, n in groups:
            if n:
                shown_group(s.evidence + start, n, 1, &out[at])
                at += n
        return found[:at].tolist()

    cdef int _branch_room(self, Walk *s, Arena arena) except -1:
        """Room for what a branch has of its own."""
        cdef Walk *old = &self.walk
        arena.parents.append(self.arena)
        s.evidence, s.raw = arena.take(old.size), arena.take(old.n_reads + old.n_inputs)
        s.target.lags = arena.take(old.target.n_lags)
        s.target.raw_lags = arena.take(old.target.n_lags)
        s.heads.state, s.heads.next = arena.take(old.heads.size), arena.take(old.heads.size)
        s.bank.state, s.bank.next = arena.take(2 * old.bank.stride), arena.take(2 * old.bank.stride)
        s.before = arena.take(old.n_shown)
        s.boosted.before = arena.take(old.n_inputs)
        s.retrieval.distance = arena.take(old.retrieval.window)
        s.retrieval.next = arena.take(old.retrieval.window)
        s.retrieval.scores[0] = arena.take(old.retrieval.window)
        s.retrieval.scores[1] = arena.take(old.retrieval.window)
        return 0

    cdef void _branch_off(self, Walk *s) noexcept nogil:
        """Let a branch begin where this walk is."""
        cdef Walk own = s[0]
        cdef Walk *old = &self.walk
        s[0] = old[0]
        s.evidence, s.raw, s.before = own.evidence, own.raw, own.before
        s.boosted.before = own.boosted.before
        s.target.lags, s.target.raw_lags = own.target.lags, own.target.raw_lags
        s.heads.state, s.heads.next = own.heads.state, own.heads.next
        s.bank.state, s.bank.next = own.bank.state, own.bank.next
        s.retrieval.distance, s.retrieval.next = own.retrieval.distance, own.retrieval.next
        s.retrieval.scores[0] = own.retrieval.scores[0]
        s.retrieval.scores[1] = own.retrieval.scores[1]
        copy_numbers(s.target.lags, old.target.lags, s.target.n_lags)
        copy_numbers(s.target.raw_lags, old.target.raw_lags, s.target.n_lags)
        copy_numbers(s.heads.state, old.heads.state, s.heads.size)
        copy_numbers(s.bank.state, old.bank.state, 2 * s.bank.stride)
        copy_numbers(s.before, old.before, s.n_shown)
        if s.boosted.part >= 0:
            copy_numbers(s.boosted.before, old.boosted.before, s.n_inputs)
        copy_numbers(s.retrieval.distance, old.retrieval.distance, s.retrieval.window)

    def branch(self):
        """A twin to look ahead with, on a memory and a target of its own; None: ask NumPy.

        Valid until this one learns.
        """
        if not self.holds and not self._take():
            return None
        cdef Regression branch = Regression(self.task.branch())
        cdef Arena arena = Arena()
        cdef Walk *s = &branch.walk
        self._branch_room(s, arena)
        self._branch_off(s)
        branch.seen, branch.values = arena.take(s.n_inputs), s.raw + s.n_reads
        branch.arena, branch.encoder, branch.trees = arena, self.encoder, self.trees
        branch.features = branch.task.features
        branch.foreign, branch.proposals, branch.keys = self.foreign, {}, None
        branch.holds = True
        return branch

    def become(self, Regression other):
        """See all twins."""
        cdef object mine, theirs
        self._check_idle()
        other._check_idle()
        if not other.holds and not other._take() or not self.holds and not self._take():
            return False
        mine, theirs = self.encoder, other.encoder
        # detectors are objects of the user, and part of the task
        if self.detector is not None or other.detector is not None:
            return False
        if other.foreign or mine.names != theirs.names or mine.n_evicted != theirs.n_evicted:
            return False
        if not walk_copy(&self.walk, &other.walk):
            return False
        self.clock[:] = other.clock
        self.seen_at[:] = other.seen_at
        self.once[:] = other.once
        mine._since[:] = theirs._since
        self.dirty, self.remembers = True, False
        self.changes += 1
        return True

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

    cdef int _make_room(self, int n_steps, int season) except -1:
        """Buffers to look so many steps ahead."""
        cdef Ahead *s = &self.ahead
        cdef Arena arena = Arena()
        cdef int K
        self.room = None
        memset(&self.future, 0, sizeof(Walk))
        self._branch_room(&self.future, arena)
        s.n_steps, s.season, s.n_inputs = n_steps, season, self.walk.n_inputs
        s.looks_back = self.walk.has_retrieval
        s.n_experts = K = 3 + s.looks_back + (2 if season else 0)
        s.rows, s.complete = arena.take(n_steps * s.n_inputs), <int *>arena.take(n_steps)
        s.low, s.high = arena.take(n_steps), arena.take(n_steps)
        s.experts = arena.take(K * n_steps)
        s.weights = arena.take(self.walk.retrieval.window)
        s.y = arena.take(self.walk.retrieval.window + 1)
        s.errors, s.sorted = arena.take(K), arena.take(K)
        self.room, self.room_of = arena, self.arena
        return 0

    cdef bint _look_ahead(self, list xs, const double[::1] past, int season) except -1:
        """Let the experts forecast; False: nothing was done, ask NumPy."""
        cdef Ahead *s = &self.ahead
        cdef int n = len(xs), h
        if not self.holds and not self._take():
            return False
        if self.foreign or past.shape[0] <= self.walk.retrieval.n:
            return False
        if self.room is None or self.room_of is not self.arena or (s.n_steps, s.season) != (n, season):
            self._make_room(n, season)
        for h, x in enumerate(xs):
            self._encode(x)
            copy_numbers(s.rows + h * s.n_inputs, self.seen, s.n_inputs)
            s.complete[h] = self.complete
        s.past, s.n_past = &past[0], past.shape[0]
        self._branch_off(&self.future)
        self.kernels.look_ahead(&self.future, s)
        return True

    def look_ahead(self, list xs, past, int season):
        """What every expert forecasts [K, len(xs)]; None: ask NumPy. See core/ahead.py."""
        if not self._look_ahead(xs, past, season):
            return None
        found = write(self.ahead.experts, self.ahead.n_experts * self.ahead.n_steps)
        return found.reshape(self.ahead.n_experts, -1)

    def score(
        self, list xs, const double[::1] targets, int season, known, expected, bint sparse
    ):
        """Let the experts forecast what came, and learn how far they were off.

        Parameters
        ----------
        xs
            The steps ahead.
        targets
            All targets, theirs last.
        season
            Number of steps, 0 for none.
        known
            An ErrorsAhead, which learns.
        expected
            How large errors were expected to be [len(xs)].
        sparse
            Whether few origins are scored.

        Returns
        -------
        False: nothing was done, ask NumPy.
        """
        cdef int n = len(xs)
        cdef Py_ssize_t n_past = targets.shape[0] - n
        cdef CErrorsAhead errors
        cdef double[:, ::1] shares = known.shares, quantiles = known.quantiles
        cdef double[::1] squares = known.squares, fast = known.fast, slow = known.slow
        cdef double[::1] size = known.size
        eta, paces = known.pace(sparse)
        cdef const double[:, ::1] rates = paces
        cdef const double[::1] up = known.up, down = known.down, sizes = expected
        if n_past <= 0 or not self._look_ahead(xs, targets[:n_past], season):
            return False
        if self.ahead.n_experts != shares.shape[1] or shares.shape[0] != n:
            return False
        if self.walk.target.scale > 0.0:
            errors.n, errors.eta, errors.shares = known.n, eta, &shares[0, 0]
            errors.squares, errors.fast, errors.slow = &squares[0], &fast[0], &slow[0]
            errors.size, errors.quantiles, errors.rates = &size[0], &quantiles[0, 0], &rates[0, 0]
            errors.up, errors.down = &up[0], &down[0]
            self.kernels.score_ahead(
                &self.ahead, &errors, &targets[n_past], &sizes[0], self.walk.target.scale
            )
            known.n = errors.n
        return True
