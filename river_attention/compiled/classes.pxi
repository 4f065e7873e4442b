"""The twin of a classification."""

cdef enum:
    GIVEN, LOGISTIC, CODES


cdef class Classification(Walker):
    """The twin of :class:`river_attention.core.Classification`."""

    cdef list classes
    cdef dict numbers
    cdef int nobody, n_past, n_lags
    cdef int *past      # numbers of the last classes, the latest first
    cdef int *lag_at    # column and lag and class of every feature that is a past label
    cdef int n_lag_columns

    cdef int _read(self, Arena arena) except -1:
        cdef Walk *s = &self.walk
        cdef int i, lag, slot
        task = known(self.task, NumpyClassification)
        readout = known(task.readout, ClassMixture)
        features = task.features
        n_classes = readout.n_classes
        # the first classes and the first past labels are left to NumPy: they bring features
        if len(task.classes) != n_classes or not task.past:
            raise _Unknown(task)
        columns = features.encoder._columns
        self.n_past, self.n_lags = len(task.past), task._n_lags
        if (self.n_lags and not task.lags) or not columns.keys() >= task.lags.keys():
            raise _Unknown(task)
        layout = self._read_features(features, readout.n_answers, arena)
        self.nobody = layout["nobody"]
        self.classes, self.numbers = list(task.classes), dict(task._index)
        self.past = <int *>arena.take(self.n_past)
        for i in range(self.n_past):
            self.past[i] = task.past[i]
        n = len(task.lags)
        self.n_lag_columns = n
        self.lag_at = <int *>arena.take(2 * n + 1)
        for i, name in enumerate(task.lags):
            _, lag, slot = name
            self.lag_at[3 * i], self.lag_at[3 * i + 1] = columns[name], lag - 1
            self.lag_at[3 * i + 2] = slot
        self._read_classes(readout, layout, arena)
        return 0

    cdef int _read_classes(self, object readout, object layout, Arena arena) except -1:
        cdef ClassPool *pool = &self.walk.classes
        cdef ClassExpert *expert
        cdef int n = len(readout.experts), K = readout.n_classes, i
        counts = known(readout.counts, ClassCounts)
        pool.n, pool.n_classes, pool.n_losses = n, K, readout._n_losses
        pool.experts = <ClassExpert *>arena.take(n * (sizeof(ClassExpert) // sizeof(double) + 1))
        pool.shares, pool.mean_losses = arena.take(n), arena.take(n)
        pool.losses, pool.errors = arena.take(n), arena.take(K)
        pool.counts, pool.pairs = arena.take(K), arena.take(17 * K)
        pool.frequencies, pool.log_frequencies = arena.take(K), arena.take(K)
        read(readout.shares, pool.shares, n)
        read(readout.mean_losses, pool.mean_losses, n)
        read(counts._counts, pool.counts, K)
        read(counts._pairs, pool.pairs, 17 * K)
        read(counts.frequencies, pool.frequencies, K)
        read(counts.log_frequencies, pool.log_frequencies, K)
        for i, (_, part, learner) in enumerate(readout.experts):
            expert = &pool.experts[i]
            place = layout[part]
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
        readout.shares = write(pool.shares, pool.n)
        readout.mean_losses = write(pool.mean_losses, pool.n)
        readout._n_losses = pool.n_losses
        counts._counts = write(pool.counts, K)
        counts._pairs = write(pool.pairs, 17 * K).reshape(17, K)
        counts.frequencies = write(pool.frequencies, K)
        counts.log_frequencies = write(pool.log_frequencies, K)
        for i in range(pool.n):
            if pool.experts[i].rls != NULL:
                write_rls(readout.experts[i].learner.rls, pool.experts[i].rls)
        return 0

    cdef int _encode(self, object x) except -1:
        """As of all, with the past labels beside."""
        cdef int i, n = self.walk.n_inputs, complete
        cdef int *at
        if self.keys is not None and PyDict_CheckExact(x):
            if PyDict_GET_SIZE(x) == PyList_GET_SIZE(self.keys):
                for i in range(n):
                    self.seen[i] = NAN
                complete = encode_row(
                    x, self.keys, self.columns, <PyTypeObject *>_float64, self.seen
                )
                if complete >= 0:
                    self._see_past()
                    self.complete = 1
                    for i in range(n):
                        if self.seen[i] != self.seen[i]:
                            self.complete = 0
                    self.new = False
                    return 0
        if type(x) is not dict and not isinstance(x, Mapping):
            clean(x)  # says what is wrong
        encoded = self.encoder.encode(x if not self.n_lag_columns else {**x, **self._lags()})
        read(encoded.values, self.seen, n)
        self.complete, self.new = encoded.complete, bool(encoded.new)
        self.keys = None
        if not encoded.new and type(x) is dict:
            self._learn_keys(x)
        return 0

    cdef int _see_past(self) noexcept:
        cdef int i
        cdef int *at
        for i in range(self.n_lag_columns):
            at = &self.lag_at[3 * i]
            self.seen[at[0]] = self.past[at[1]] == at[2]
        return 0

    cdef dict _lags(self):
        names = self.encoder.names
        cdef int i
        cdef dict lags = {}
        for i in range(self.n_lag_columns):
            lags[names[self.lag_at[3 * i]]] = float(
                self.past[self.lag_at[3 * i + 1]] == self.lag_at[3 * i + 2]
            )
        return lags

    cdef int _begin(self) noexcept:
        """What is known of the past joins the evidence that is made next."""
        self.walk.evidence[self.walk.last] = self.past[0]
        self.walk.evidence[self.nobody] = -1.0
        return 0

    def probabilities(self, x):
        """The probability of every class if x came next; None: ask NumPy."""
        cdef ClassPool *pool = &self.walk.classes
        cdef int k, i
        cdef double p
        if not self.holds and not self._take():
            return None
        self._begin()
        self._propose(x)
        found = {}
        for k in range(pool.n_classes):
            p = 0.0
            for i in range(pool.n):
                p += pool.shares[i] * self.walk.evidence[self.walk.answers + i * pool.n_classes + k]
            found[self.classes[k]] = p
        return found

    def learn(self, x, y, w=1.0):
        """Learn a sample; False: nothing was done, ask NumPy."""
        cdef double weight
        cdef int number, i
        if type(y) is not str and type(y) is not int and type(y) is not bool:
            check_label(y)
        weight = checked_weight(w)
        if not self.holds and not self._take():
            return False
        found = self.numbers.get(y)
        if found is None:
            return False
        number = found
        self._begin()
        self._propose(x)
        if self.new:
            return False
        self._commit_foreign()
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.learn_class(&self.walk, number, weight)
        for i in range(self.n_past - 1, 0, -1):
            self.past[i] = self.past[i - 1]
        self.past[0] = number
        return True

    def train(self, evidence, y, w):
        """Late labels are left to NumPy."""
        return False
