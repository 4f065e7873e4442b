"""The twin of a regression on several targets."""

cdef class Several(PastAsInputs):
    """The twin of :class:`river_attention.core.MultiRegression`.

    A target that is new, or a label for a step of before some target or input was known, is left to
    NumPy.
    """

    cdef list names
    cdef int n_lags
    cdef int *lag_at       # column of every past value that is an input [m, n_lags]
    cdef double *labels    # of the row that is learned [m], NaN where they are missing
    cdef list label_keys   # the targets in the order in which the last row had them, if it had all
    cdef int *label_columns

    cdef int _read(self, Arena arena) except -1:
        cdef CSeveral *s = &self.walk.several
        cdef int i, j
        task = known(self.task, NumpyMultiRegression)
        readout = known(task.readout, MixtureOfSeveral)
        features = task.features
        # the first targets are left to NumPy: they bring features
        if not task.names:
            raise _Unknown(task)
        self.names, self.n_lags = task.names, task._n_lags
        s.m, s.n_long = len(task.names), task._n_long
        layout = self._read_features(features, readout.n_answers, 0, arena)
        columns = features.encoder._columns
        self.lag_at = <int *>arena.take(s.m * self.n_lags)
        for j, name in enumerate(task.names):
            for i in range(self.n_lags):
                column = columns.get((LABEL_LAG, i + 1, name))
                if column is None:
                    raise _Unknown(task)  # it comes with the next step
                self.lag_at[j * self.n_lags + i] = column
        s.n_own = len(features.own)
        s.own = <int *>arena.take(s.n_own)
        for i in range(s.n_own):
            s.own[i] = features.own[i]
        self._read_targets(task.targets, arena)
        self._read_pools(readout, layout, arena)
        if task.retrieval is not None:
            self._read_retrieval(task, arena)
        s.r, s.errors, s.omega = arena.take(s.m), arena.take(s.m), arena.take(s.m)
        s.seen, self.labels = <int *>arena.take(s.m), arena.take(s.m)
        s.delta, s.present = arena.take(6 * s.m), arena.take(6 * s.m)
        self.label_columns = <int *>arena.take(s.m)
        self.label_keys = None
        return 0

    cdef int _read_places(self, object features, object layout) except -1:
        cdef CSeveral *s = &self.walk.several
        self.walk.long_part = self.walk.situation = self.walk.retrieved = -1
        s.situation, s.anchor = layout["situation"].start, layout["anchor"].start
        s.known, s.prediction = layout["known"].start, layout["prediction"].start
        s.last, s.mean = layout["last"].start, layout["mean"].start
        s.retrieved, s.answers = layout["retrieved"].start, layout["answers"].start
        s.long_part = layout["long"].start if s.n_long else -1
        if layout.n_targets != s.m:
            raise _Unknown(features)
        return 0

    cdef int _read_targets(self, object part, Arena arena) except -1:
        cdef CSeveral *s = &self.walk.several
        cdef CTarget *t
        cdef int j
        known(part, Targets)
        if len(part) != s.m:
            raise _Unknown(part)
        s.targets = <CTarget *>arena.take(s.m * (sizeof(CTarget) // sizeof(double) + 1))
        for j in range(s.m):
            t = &s.targets[j]
            t.prior, t.n_lags = PRIORS.index(part.prior), part.past.shape[1]
            t.n = 1  # it was seen
            t.last, t.delta = part.last[j], part.delta[j]
            t.low, t.high = part.low[j], part.high[j]
            read_mean(part.step_sizes[j], &t.step_size)
            t.lags, t.raw_lags = arena.take(t.n_lags), arena.take(t.n_lags)
            read(part.past[j], t.raw_lags, t.n_lags)
        read_moments(part.moments, &s.moments, arena)
        if s.moments.n != 2 * s.m:
            raise _Unknown(part)
        s.columns = arena.take(2 * s.m)
        several_derive(s)
        return 0

    cdef int _read_pools(self, object readout, object layout, Arena arena) except -1:
        cdef CSeveral *s = &self.walk.several
        cdef ExpertOfSeveral *expert
        cdef Pool *pool
        cdef int n = len(readout.experts), j, k
        s.n_experts = n
        s.pools = <Pool *>arena.take(s.m * (sizeof(Pool) // sizeof(double) + 1))
        for j in range(s.m):
            pool = &s.pools[j]
            pool.n, pool.mixes, pool.eta = n, 1, readout.eta
            pool.n_told = pool.n_awake = n
            pool.shares, pool.mean_losses = arena.take(n), arena.take(n)
            pool.errors, pool.losses, pool.sorted = arena.take(n), arena.take(n), arena.take(n)
            read(readout.shares[j], pool.shares, n)
            read(readout.mean_losses[j], pool.mean_losses, n)
            pool.n_losses, pool.n_far = int(readout._counts[j]), int(readout._n_far[j])
            read_mean(readout.scales[j], &pool.scale)
        s.experts = <ExpertOfSeveral *>arena.take(
            n * (sizeof(ExpertOfSeveral) // sizeof(double) + 1)
        )
        for k, (_, part, learner) in enumerate(readout.experts):
            expert = &s.experts[k]
            place = layout[part]
            expert.start, expert.length = place.start, place.stop - place.start
            if learner is None:
                expert.kind, expert.length, expert.step = EXPERT_GIVEN, 1, place.step or 1
                continue
            known(learner, SharedLinear, OwnLinear)
            expert.huber = learner._huber
            if type(learner) is SharedLinear:
                expert.kind, all_rls = EXPERT_SHARED, [learner.rls]
                expert.scales = <CHuberScale *>arena.take(
                    s.m * (sizeof(CHuberScale) // sizeof(double))
                )
                if len(learner.scales) != s.m:
                    raise _Unknown(learner)
                for j, scale in enumerate(learner.scales):
                    known(scale, HuberScale)
                    expert.scales[j].n = scale.n
                    expert.scales[j].fast, expert.scales[j].slow = scale.fast, scale.slow
            else:
                expert.kind, all_rls = EXPERT_OWN, learner.rls
                expert.length //= s.m
                expert.step = expert.length
                if len(all_rls) != s.m:
                    raise _Unknown(learner)
            expert.rls = <RLS **>arena.take(len(all_rls))
            for j, rls in enumerate(all_rls):
                expert.rls[j] = read_rls(rls, arena)
                if expert.rls[j].p != expert.length:
                    raise _Unknown(learner)
                if expert.rls[j].m != (s.m if expert.kind == EXPERT_SHARED else 1):
                    raise _Unknown(learner)
        return 0

    cdef int _read_retrieval(self, object task, Arena arena) except -1:
        cdef CSeveral *s = &self.walk.several
        cdef CRetrieval *past = &s.retrieval
        cdef int j
        layer = known(task.retrieval, RetrievalOfSeveral)
        lived = layer._lived
        read_past(layer, lived, past, s.n_own, s.m, arena)
        past.known = arena.take(s.m * past.stride)
        read_steps(lived.past["known"], past.known, past)
        for j in range(s.m):
            read(lived.distance[j], past.distance + j * past.row, past.window)
        s.has_retrieval = 1
        read_moments(task.moments, &s.read_moments, arena)
        if s.read_moments.n != 6 * s.m:
            raise _Unknown(task.moments)
        s.reads, s.scaled = arena.take(6 * s.m), arena.take(6 * s.m)
        s.apart = arena.take(past.window)
        return 0

    cdef int _give(self) except -1:
        cdef CSeveral *s = &self.walk.several
        cdef CTarget *t
        cdef int j, k, m = s.m
        cdef CHuberScale *scale
        task = self.task
        targets, readout = task.targets, task.readout
        self._give_features()
        targets.last = np.array([s.targets[j].last for j in range(m)])
        targets.delta = np.array([s.targets[j].delta for j in range(m)])
        targets.low = np.array([s.targets[j].low for j in range(m)])
        targets.high = np.array([s.targets[j].high for j in range(m)])
        targets.past = np.array([write(s.targets[j].raw_lags, s.targets[j].n_lags) for j in range(m)])
        for j, size in enumerate(targets.step_sizes):
            size.n, size.value = s.targets[j].step_size.n, s.targets[j].step_size.value
        write_moments(targets.moments, &s.moments)
        targets._derive()
        task._show_lags()
        n = s.n_experts
        readout.shares = np.array([write(s.pools[j].shares, n) for j in range(m)])
        readout.mean_losses = np.array([write(s.pools[j].mean_losses, n) for j in range(m)])
        readout._counts = np.array([float(s.pools[j].n_losses) for j in range(m)])
        readout._n_far = np.array([float(s.pools[j].n_far) for j in range(m)])
        for j, size in enumerate(readout.scales):
            size.n, size.value = s.pools[j].scale.n, s.pools[j].scale.value
        for k, (_, _, learner) in enumerate(readout.experts):
            if s.experts[k].kind == EXPERT_SHARED:
                write_rls(learner.rls, s.experts[k].rls[0])
                for j, part in enumerate(learner.scales):
                    scale = &s.experts[k].scales[j]
                    part.n, part.fast, part.slow = scale.n, scale.fast, scale.slow
            elif s.experts[k].kind == EXPERT_OWN:
                for j, part in enumerate(learner.rls):
                    write_rls(part, s.experts[k].rls[j])
        if s.has_retrieval:
            task.retrieval._lived = write_retrieval(&s.retrieval, task.retrieval._lived)
            write_moments(task.moments, &s.read_moments)
        return 0

    cdef int _see_past(self) noexcept nogil:
        cdef CSeveral *s = &self.walk.several
        cdef int i, j
        for j in range(s.m):
            if s.targets[j].last == s.targets[j].last:
                for i in range(self.n_lags):
                    self.seen[self.lag_at[j * self.n_lags + i]] = s.targets[j].raw_lags[i]
        return 0

    cdef dict _lags(self):
        cdef CTarget *t
        cdef int i, j
        cdef dict lags = {}
        columns = self.encoder.names
        for j in range(self.walk.several.m):
            t = &self.walk.several.targets[j]
            if t.last == t.last:
                for i in range(self.n_lags):
                    lags[columns[self.lag_at[j * self.n_lags + i]]] = t.raw_lags[i]
        return lags

    cdef bint _read_labels(self, object y) except -1:
        """The targets of a row to `labels`; False if one of them is new."""
        cdef int64_t changes = self.changes
        cdef Arena arena = self.arena
        cdef int j, m = self.walk.several.m
        self._check_idle()
        if self.label_keys is not None and PyDict_CheckExact(y) and PyDict_GET_SIZE(y) == m:
            # one that is missing, infinite or no plain number is for `check`
            if encode_row(
                y, self.label_keys, self.label_columns, <PyTypeObject *>_float64, self.labels
            ) == 1:
                return True
        checked = self.task.check(y)
        self._check_undisturbed(arena, changes, "y")
        index = self.task._index
        if not index.keys() >= checked.keys():
            return False
        for j, name in enumerate(self.names):
            self.labels[j] = checked.get(name, NAN)
        keys = list(checked)
        if len(keys) == m and type(y) is dict and all(type(key) in (str, int) for key in keys):
            for j, key in enumerate(keys):
                self.label_columns[j] = index[key]
            self.label_keys = keys
        return True

    cdef dict _values(self):
        """The prediction of every target in the evidence."""
        cdef CSeveral *s = &self.walk.several
        cdef int j
        cdef dict found = {}
        for j, name in enumerate(self.names):
            found[name] = several_value(s, self.walk.evidence, j)
        return found

    def predict(self, x):
        """The prediction of every target if x came next; None: ask NumPy."""
        if not self.holds and not self._take():
            return None
        self._propose(x)
        return self._values()

    def learn(self, x, y, w=1.0):
        """Learn a sample; False: nothing was done, ask NumPy."""
        cdef double weight
        cdef bint known_targets
        if not self.holds and not self._take():
            return False
        known_targets = self._read_labels(y)
        weight = checked_weight(w)
        if not known_targets:
            return False
        self._propose(x)
        if self.new:
            return False
        # code of the user may fail: it comes first
        self._commit_foreign()
        self._count(self.values, self.walk.complete)
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.learn_several(&self.walk, self.labels, weight)
        return True

    def train(self, evidence, y, double w):
        """Learn labels with an evidence of now or earlier; False: nothing was done, ask NumPy."""
        cdef const double[::1] buffer = evidence
        if not self.holds and not self._take():
            return False
        # evidence grows with every target and every input
        if buffer.shape[0] != self.walk.size or not self._read_labels(y):
            return False
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.train_several(&self.walk, &buffer[0], self.labels, w)
        self.kernels.join_several(&self.walk, self.labels)
        return True

    cdef _say(self, list answers, const double[:, ::1] found, Py_ssize_t start, Py_ssize_t stop):
        """Predictions of rows as dicts."""
        cdef Py_ssize_t row, j
        for row in range(start, stop):
            answers[row] = {name: found[row, j] for j, name in enumerate(self.names)}

    cdef void _find(self, double *found) noexcept nogil:
        cdef int j
        for j in range(self.walk.several.m):
            found[j] = several_value(&self.walk.several, self.walk.evidence, j)

    def predict_rows(self, names, X, list answers, Py_ssize_t at=0):
        """Predict the rows from `at` on, the state held still; returns the first left to NumPy."""
        cdef Rows rows = self._rows(names, X)
        cdef Py_ssize_t start = at
        cdef double[:, ::1] found
        if rows is None:
            return at
        found = np.empty((rows.n, self.walk.several.m))
        with nogil:
            while at < rows.n and self._propose_row(rows, at, False):
                self._find(&found[at, 0])
                at += 1
        self._done(False)
        self._say(answers, found, start, at)
        return at

    def learn_rows(self, names, X, y, const double[:] w, list answers, Py_ssize_t at=0):
        """Learn the rows from `at` on, after predicting them if answers are wanted.

        Returns the first row that is left to NumPy: one with a target that is new, too.

        Parameters
        ----------
        names, X
            See Rows.
        y
            The targets of the block, and their values [n, len(targets)], NaN where they are missing.
        w
            Weights [n].
        answers
            Room for predictions [n], or None.
        at
            The first row.
        """
        cdef bint answers_too = answers is not None
        cdef Py_ssize_t start = at
        cdef int j, n_named
        cdef int[::1] numbers
        cdef const double[:, ::1] labels
        cdef double[:, ::1] found
        if not self.holds and not self._take():
            return at
        named, labels = y
        n_named = len(named)
        index = self.task._index
        numbers = np.array([index.get(name, -1) for name in named], np.intc)
        cdef Rows rows = self._rows(names, X)
        if rows is None:
            return at
        found = np.empty((rows.n if answers_too else 0, self.walk.several.m))
        with nogil:
            while at < rows.n:
                for j in range(self.walk.several.m):
                    self.labels[j] = NAN
                for j in range(n_named):
                    if numbers[j] >= 0:
                        self.labels[numbers[j]] = labels[at, j]
                    elif labels[at, j] == labels[at, j]:
                        break
                else:
                    j = n_named
                if j < n_named or not self._propose_row(rows, at, True):
                    break
                if answers_too:
                    self._find(&found[at, 0])
                self._count_all(self.values, self.walk.complete)
                self.kernels.learn_several(&self.walk, self.labels, w[at])
                at += 1
        self._done(at > start)
        if answers_too:
            self._say(answers, found, start, at)
        return at
