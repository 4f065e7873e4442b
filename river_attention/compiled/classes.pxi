"""The twin of a classification."""

cdef enum:
    GIVEN, LOGISTIC, CODES, POOLED


cdef class Classification(PastAsInputs):
    """The twin of :class:`river_attention.core.Classification`.

    Past labels stand where those of a regression do: as the lags of the target, and the last class
    as its last step. A label that is new, or comes for a step of before some class or input was
    known, is left to NumPy.
    """

    cdef list classes
    cdef dict numbers
    cdef object detector
    cdef int n_past
    cdef int *past      # numbers of the last classes, the latest first
    cdef int *lag_at    # column and lag and class of every feature that is a past label
    cdef int n_lag_columns
    cdef double *mixed  # scratch, one for every class

    cdef int _read(self, Arena arena) except -1:
        cdef Walk *s = &self.walk
        cdef int i, lag, slot, n
        task = known(self.task, NumpyClassification)
        readout = known(task.readout, ClassMixture)
        features = task.features
        n_classes = readout.n_classes
        # the first classes and the first past labels are left to NumPy: they bring features
        if len(task.classes) != n_classes or not task.past or features._n_lags:
            raise _Unknown(task)
        columns = features.encoder._columns
        if not columns.keys() >= task.lags.keys():
            raise _Unknown(task)
        layout = self._read_features(features, readout.n_answers, n_classes, arena)
        self.classes, self.numbers, self.detector = task.classes, task._index, task.detector
        self.n_past = len(task.past)
        self.past = <int *>arena.take(self.n_past)
        for i in range(self.n_past):
            self.past[i] = task.past[i]
        n = len(task.lags)
        self.n_lag_columns = n
        self.lag_at = <int *>arena.take(2 * n)
        for i, name in enumerate(task.lags):
            _, lag, slot = name
            self.lag_at[3 * i], self.lag_at[3 * i + 1] = columns[name], lag - 1
            self.lag_at[3 * i + 2] = slot
        self.mixed = arena.take(n_classes)
        s.target.n_lags, s.target.lags = s.n_long, arena.take(s.n_long)
        read(task.long_lags, s.target.lags, s.n_long)
        s.target.delta = s.evidence[s.last] = self.past[0]
        s.evidence[<int>layout["nobody"]] = -1.0
        return self._read_pool(readout, layout, arena)

    cdef int _read_pool(self, object readout, object layout, Arena arena) except -1:
        cdef ClassPool *pool = &self.walk.classes
        cdef ClassExpert *expert
        cdef int n = len(readout.experts), K = readout.n_classes, i, n_rows
        counts = known(readout.counts, ClassCounts)
        pool.n, pool.n_classes, pool.n_losses = n, K, readout._n_losses
        pool.n_votes, n_rows = readout.n_votes, readout.n_rows
        if bool(pool.n_votes) != self.walk.has_retrieval:
            raise _Unknown(readout)
        pool.experts = <ClassExpert *>arena.take(n * (sizeof(ClassExpert) // sizeof(double) + 1))
        pool.shares, pool.mean_losses = arena.take(n), arena.take(n)
        pool.losses, pool.errors = arena.take(n), arena.take(K)
        pool.logs, pool.pooled = arena.take(n_rows * K), arena.take(K)
        pool.counts, pool.pairs = arena.take(K), arena.take(17 * K)
        pool.frequencies, pool.log_frequencies = arena.take(K), arena.take(K)
        read(readout.shares, pool.shares, n)
        read(readout.mean_losses, pool.mean_losses, n)
        read(counts._counts, pool.counts, K)
        read(counts._pairs, pool.pairs, 17 * K)
        # derived on either side: C and NumPy round a logarithm, and what is saved has none
        counts_refresh(pool)
        for i, (_, part, learner) in enumerate(readout.experts):
            expert = &pool.experts[i]
            place = layout[part]
            if i == n - 1:
                expert.kind = POOLED
                expert.rls = read_rls(known(readout.pool, LogLinearPool).rls, arena)
                if learner is not None or expert.rls.p != n_rows - 1 or expert.rls.m != 1:
                    raise _Unknown(readout)
                continue
            if learner is None:
                expert.kind, expert.start, expert.length = GIVEN, place, 1
                continue
            known(learner, OnlineLogistic, Codes)
            expert.kind = LOGISTIC if type(learner) is OnlineLogistic else CODES
            expert.start, expert.length = place.start, place.stop - place.start
            expert.rls = read_rls(learner.rls, arena)
            if expert.rls.p != expert.length or expert.rls.m != (1 if K == 2 else K):
                raise _Unknown(learner)
        return 0

    cdef int _give(self) except -1:
        cdef ClassPool *pool = &self.walk.classes
        cdef int i, K = pool.n_classes
        self._give_features()
        task = self.task
        readout, counts = task.readout, task.readout.counts
        task.past.clear()
        task.past.extend([self.past[i] for i in range(self.n_past)])
        task._show_lags()
        self._give_shares()
        readout.mean_losses = write(pool.mean_losses, pool.n)
        readout._n_losses = pool.n_losses
        counts._counts = write(pool.counts, K)
        counts._pairs = write(pool.pairs, 17 * K).reshape(17, K)
        counts._refresh()
        for i in range(pool.n - 1):
            if pool.experts[i].rls != NULL:
                write_rls(readout.experts[i].learner.rls, pool.experts[i].rls)
        write_rls(readout.pool.rls, pool.experts[pool.n - 1].rls)
        return 0

    cdef int _give_shares(self) except -1:
        self.task.readout.shares = write(self.walk.classes.shares, self.walk.classes.n)
        return 0

    cdef int _see_past(self) noexcept nogil:
        cdef int i
        cdef int *at
        for i in range(self.n_lag_columns):
            at = &self.lag_at[3 * i]
            self.seen[at[0]] = self.past[at[1]] == at[2]
        return 0

    cdef dict _lags(self):
        """The past labels as features."""
        names = self.encoder.names
        cdef int i
        cdef dict lags = {}
        for i in range(self.n_lag_columns):
            lags[names[self.lag_at[3 * i]]] = float(
                self.past[self.lag_at[3 * i + 1]] == self.lag_at[3 * i + 2]
            )
        return lags

    cdef int _join(self, int number) noexcept nogil:
        """A label joins the past; see Classification.join."""
        cdef Walk *s = &self.walk
        cdef int i
        for i in range(self.n_past - 1, 0, -1):
            self.past[i] = self.past[i - 1]
        self.past[0] = number
        for i in range(s.n_long):
            s.target.lags[i] = 1.0 if self.past[i] == 1 else -1.0
        s.target.delta = s.evidence[s.last] = number
        return 0

    cdef void _mix(self, const double *evidence, double *mixed) noexcept nogil:
        """The probability of every class in an evidence."""
        cdef ClassPool *pool = &self.walk.classes
        cdef const double *answers = evidence + self.walk.answers
        cdef int k, i, K = pool.n_classes
        cdef double p
        answers += pool.n_votes * K
        for k in range(K):
            p = 0.0
            for i in range(pool.n):
                p += pool.shares[i] * answers[i * K + k]
            mixed[k] = p

    cdef list _mixed(self, const double *evidence):
        self._mix(evidence, self.mixed)
        return [self.mixed[k] for k in range(self.walk.classes.n_classes)]

    cdef int _most_probable(self) noexcept nogil:
        """The number of the most probable class, the first of equals."""
        cdef int k, best = 0
        self._mix(self.walk.evidence, self.mixed)
        for k in range(self.walk.classes.n_classes):
            if self.mixed[k] > self.mixed[best]:
                best = k
        return best

    def predict_rows(self, names, X, list answers, Py_ssize_t at=0):
        """The classes of the rows from `at` on, the state held still; the first left to NumPy."""
        cdef Rows rows = self._rows(names, X)
        cdef Py_ssize_t start = at
        cdef int[::1] found
        if rows is None:
            return at
        found = np.empty(rows.n, np.intc)
        with nogil:
            while at < rows.n and self._propose_row(rows, at, False):
                found[at] = self._most_probable()
                at += 1
        self._done(False)
        for row in range(start, at):
            answers[row] = self.classes[found[row]]
        return at

    def probabilities_of_rows(self, names, X, double[:, ::1] answers, Py_ssize_t at=0):
        """The probabilities [n, K] of the rows from `at` on; returns the first left to NumPy."""
        cdef Rows rows = self._rows(names, X)
        if rows is None:
            return at
        with nogil:
            while at < rows.n and self._propose_row(rows, at, False):
                self._mix(self.walk.evidence, &answers[at, 0])
                at += 1
        self._done(False)
        return at

    def learn_rows(self, names, X, y, const double[:] w, list answers, Py_ssize_t at=0):
        """Learn the rows from `at` on, after predicting them if answers are wanted.

        Returns the first row that is left to NumPy: one with a class that is new, too.

        Parameters
        ----------
        names, X
            See Rows.
        y
            Labels: a list of different ones, and which of them it is in every row [n]; time passes
            without a label where that is -1.
        w
            Weights [n].
        answers
            Room for predictions [n], or None.
        at
            The first row.
        """
        cdef bint answers_too = answers is not None
        cdef Py_ssize_t start = at
        cdef int number
        cdef int[::1] found, numbers
        cdef const int64_t[::1] labels
        if self.detector is not None or not self.holds and not self._take():
            return at
        different, labels = y
        numbers = np.array([self.numbers.get(label, -1) for label in different], np.intc)
        cdef Rows rows = self._rows(names, X)
        if rows is None:
            return at
        found = np.empty(rows.n if answers_too else 0, np.intc)
        with nogil:
            while at < rows.n:
                number = numbers[labels[at]] if labels[at] >= 0 else 0
                if number < 0 or not self._propose_row(rows, at, True):
                    break
                if answers_too:
                    found[at] = self._most_probable()
                self._count_all(self.values, self.walk.complete)
                if labels[at] >= 0:
                    self.kernels.learn_class(&self.walk, number, w[at])
                    self._join(number)
                else:
                    self.kernels.commit(&self.walk)
                at += 1
        self._done(at > start)
        if answers_too:
            for row in range(start, at):
                answers[row] = self.classes[found[row]]
        return at

    def probabilities(self, x):
        """The probability of every class if x came next; None: ask NumPy."""
        if not self.holds and not self._take():
            return None
        self._propose(x)
        return dict(zip(self.classes, self._mixed(self.walk.evidence)))

    def look(self, x):
        """A copy of the evidence of x, for a task with the shares of now; None: ask NumPy."""
        evidence = Walker.look(self, x)
        if self.holds and self.dirty:
            self._give_shares()
        return evidence

    def learn(self, x, y, w=1.0):
        """Learn a sample; False: nothing was done, ask NumPy."""
        cdef double weight
        cdef int number
        cdef bint drifted = False
        if type(y) is not str and type(y) is not int and type(y) is not bool:
            check_label(y)
        weight = checked_weight(w)
        if not self.holds and not self._take():
            return False
        found = self.numbers.get(y)
        if found is None:
            return False
        number = found
        self._propose(x)
        if self.new:
            return False
        # code of the user may fail: it comes first
        if weight > 0.0:
            drifted = self._drifted(self.walk.evidence, number)
        self._commit_foreign()
        self._count(self.values, self.walk.complete)
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.learn_class(&self.walk, number, weight)
        if drifted:
            self.task.n_drifts += 1
            self.kernels.reopen(&self.walk)
        self._join(number)
        return True

    def train(self, evidence, y, double w):
        """Learn a label with an evidence of now or earlier; False: nothing was done, ask NumPy."""
        cdef const double[::1] buffer = evidence
        cdef bint drifted
        cdef int number
        if not self.holds and not self._take():
            return False
        found = self.numbers.get(y)
        # evidence grows with every class and every input
        if found is None or buffer.shape[0] != self.walk.size:
            return False
        number = found
        drifted = w > 0.0 and self._drifted(&buffer[0], number)
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.train_class(&self.walk, &buffer[0], number, w)
        if drifted:
            self.task.n_drifts += 1
            self.kernels.reopen(&self.walk)
        self._join(number)
        return True

    cdef bint _drifted(self, const double *evidence, int number) except -1:
        if self.detector is None:
            return False
        mixed = self._mixed(evidence)
        return drift.drifted(self.detector, float(number != mixed.index(max(mixed))))
