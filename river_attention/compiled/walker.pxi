"""Features on borrowed states, which all twins share."""

cdef inline double checked_label(object y) except? -1.0:
    """A target as ``check_target`` makes it."""
    if PyFloat_CheckExact(y) and fabs(PyFloat_AS_DOUBLE(y)) <= LIMIT:
        return PyFloat_AS_DOUBLE(y)
    return check_target(y)


cdef inline double checked_weight(object w) except? -1.0:
    """A sample weight as ``check_weight`` makes it."""
    if PyFloat_CheckExact(w) and 0.0 <= PyFloat_AS_DOUBLE(w) and isfinite(PyFloat_AS_DOUBLE(w)):
        return PyFloat_AS_DOUBLE(w)
    return check_weight(w)


cdef class Walker:
    """Features on borrowed states: what all twins share.

    Methods that cannot be done in C, because features are new or the task holds what is unknown
    here, say so by returning None or False and have changed nothing.
    """

    cdef Walk walk
    cdef const Kernels *kernels
    cdef Arena arena
    cdef readonly object task
    cdef object features, encoder
    cdef readonly int64_t changes
    cdef readonly bint new  # whether the last x had features without a column
    cdef bint holds, dirty, remembers
    cdef bint busy  # with what other threads must not disturb
    cdef list foreign  # memories without a twin: (name, memory, first read, n)
    cdef dict proposals
    cdef int complete
    cdef int64_t[::1] clock    # of the encoder, which is kept up to date
    cdef int64_t[::1] seen_at
    cdef uint8_t[::1] once
    cdef bint counts  # and whether they matter: there is a budget
    cdef readonly object named  # columns that the last x named; None for those that are not missing
    cdef list keys
    cdef const uint64_t[:, ::1] seeds  # of the names of columns, once they were asked for
    cdef int *columns
    cdef double *seen
    cdef double *values

    def __init__(self, task):
        self.task = task
        self.kernels = best_kernels()

    def __dealloc__(self):
        free(self.columns)

    def __reduce__(self):
        return twin_of, (self.release(),)

    @property
    def is_holding(self):
        """Whether the state is here, not in the NumPy objects."""
        return self.holds

    @property
    def is_alone(self):
        """Whether the state is here, and no code in Python has a part in a step."""
        return self.holds and not self.foreign

    @property
    def is_busy(self):
        """Whether it is in use, while other threads run."""
        return self.busy

    cdef int _check_idle(self) except -1:
        if self.busy:
            raise RuntimeError(
                "the model is in use by another thread: a model is for one thread at a time, so wait "
                "until that is done, or give every thread a model of its own"
            )
        return 0

    def release(self):
        """The task, with the state."""
        self._check_idle()
        if self.holds:
            if self.dirty:
                self.busy = True
                try:
                    self._give()
                finally:
                    self.busy = False
            self.holds = False
        return self.task

    cdef bint _take(self) except -1:
        """Take the state over; False if the task is nothing that C knows."""
        cdef Arena arena = Arena()
        self._check_idle()
        memset(&self.walk, 0, sizeof(Walk))
        self.walk.boosted.part = -1
        self.busy = True
        try:
            self._read(arena)
        except _Unknown:
            return False
        finally:
            self.busy = False
        self.arena = arena
        self.holds, self.dirty, self.remembers = True, False, False
        return True

    cdef int _read(self, Arena arena) except -1:
        raise NotImplementedError

    cdef int _give(self) except -1:
        raise NotImplementedError

    def become(self, other):
        """Know what another one knows, of a task that was made the same; False: ask NumPy."""
        return False

    cdef int _read_encoder(self, object encoder) except -1:
        self.encoder = known(encoder, Encoder)
        self.counts = encoder.max_features is not None
        self.clock, self.seen_at = encoder._clock, encoder._seen_at
        self.once = encoder._once.view(np.uint8)
        self.seeds = None
        return 0

    cdef int _count(self, const double *values, bint complete) except -1:
        """The encoder's count of which columns were seen with this row."""
        cdef int i
        if self.named is None:
            self._count_all(values, complete)
        elif self.counts:
            self.clock[0] += 1
            for i in self.named.tolist():
                self.seen_at[i] = self.clock[0]
                self.once[i] = 0
        return 0

    cdef void _count_all(self, const double *values, bint complete) noexcept nogil:
        """The same where the columns seen are those that are not missing."""
        cdef int i
        if not self.counts:
            return
        self.clock[0] += 1
        if complete:
            self.clock[1] = self.clock[0]
            return
        for i in range(self.walk.n_inputs):
            if values[i] == values[i]:
                self.seen_at[i] = self.clock[0]
                self.once[i] = 0

    cdef object _read_features(self, object features, int n_answers, int n_classes, Arena arena):
        """Everything up to the features of the readout; returns the layout.

        ``n_classes`` is that of retrieval, 0 where labels are numbers.
        """
        cdef Walk *s = &self.walk
        cdef int start = 0, n, i
        known(features, MemoryFeatures, SharedFeatures)
        if features._lags_in != features._n_lags:
            raise _Unknown(features)  # they come with the first step
        self.features = features
        self._read_encoder(features.encoder)
        n_inputs = len(self.encoder.names)
        layout = features.layout(n_answers)
        s.n_inputs, s.n_reads, s.n_lags = n_inputs, features.n_reads, features._lags_in
        s.n_long, s.n_token = features._n_long, features._lags_in + n_inputs
        if features._visible is not None:
            s.n_token = len(features._visible)
            s.visible = <int *>arena.take(s.n_token)
            for i in range(s.n_token):
                s.visible[i] = features._visible[i]
        s.n_shown = n_inputs
        if features._shown is not None:
            s.n_shown = len(features._shown)
            s.shown, s.shown_inputs = <int *>arena.take(s.n_shown), arena.take(s.n_shown)
            for i in range(s.n_shown):
                s.shown[i] = features._shown[i]
        s.moves = features._moves and s.n_long > 0
        s.before, s.n_before = arena.take(s.n_shown), len(features._before)
        if s.n_before > s.n_shown:
            raise _Unknown(features)
        read(features._before, s.before, s.n_before)
        s.answers, s.size = layout["answers"].start, layout.size
        if features._n_history:
            s.boosted.part, s.boosted.n_history = layout["boosted"].start, features._n_history
            s.boosted.before, s.boosted.n_before = arena.take(n_inputs), len(features._came_before)
            read(features._came_before, s.boosted.before, s.boosted.n_before)
        self._read_places(features, layout)
        read_moments(features.moments, &s.moments, arena)
        foreign = []
        for name, memory in features.memories.items():
            state = features.states[name]
            if name == "retrieved":
                read_retrieval(memory, state, &s.retrieval, s.n_shown, n_classes, arena)
                s.has_retrieval, s.at_retrieval = 1, start
            elif name == "head" and read_heads(memory, state, &s.heads, s.n_token, arena):
                s.has_heads, s.at_heads = 1, start
            elif name == "bank":
                read_bank(memory, state, &s.bank, s.n_token, arena)
                s.has_bank, s.at_bank = 1, start
            elif memory.learns or memory.view != "token":
                raise _Unknown(memory)
            else:
                foreign.append((name, memory, start, memory.n_outputs))
            start += memory.n_outputs
        n = s.n_reads + s.n_inputs
        s.evidence, s.raw, s.token = arena.take(s.size), arena.take(n), arena.take(s.n_token)
        s.delta, s.present = arena.take(n), arena.take(n)
        self.seen, self.values = arena.take(n_inputs), s.raw + s.n_reads
        self.foreign = foreign
        self.proposals = {}
        self.keys = None
        return layout

    cdef int _read_places(self, object features, object layout) except -1:
        """Where the parts of an evidence stand that are not the same everywhere."""
        cdef Walk *s = &self.walk
        s.long_part = layout["long"].start if s.n_long else -1
        s.situation = layout["situation"].start if features._has_situation else -1
        s.retrieved = layout["retrieved 0"] if features._n_retrieved else -1
        s.last, s.mean = layout.get("last", -1), layout.get("mean", -1)
        s.anchor, s.prediction = layout.get("anchor", -1), layout.get("prediction", -1)
        s.unit, s.error_size = layout.get("unit", -1), layout.get("error size", -1)
        return 0

    cdef int _give_features(self) except -1:
        """Give back what the features know."""
        cdef Walk *s = &self.walk
        states = self.features.states
        if s.has_heads:
            states["head"] = write_heads(&s.heads, states["head"])
        if s.has_bank:
            states["bank"] = write_bank(&s.bank)
        if s.has_retrieval:
            states["retrieved"] = write_retrieval(&s.retrieval, states["retrieved"])
        if s.moves:
            self.features._before = write(s.before, s.n_before)
        if s.boosted.part >= 0:
            self.features._came_before = write(s.boosted.before, s.boosted.n_before)
        write_moments(self.features.moments, &s.moments)
        return 0

    cdef int _encode(self, object x) except -1:
        """The values of x to `seen`; sets `complete` and `new`."""
        cdef Py_ssize_t n
        cdef int i, complete
        self._check_idle()
        if self.keys is not None and PyDict_CheckExact(x):
            n = PyDict_GET_SIZE(x)
            if n == PyList_GET_SIZE(self.keys):
                if n < self.walk.n_inputs:
                    for i in range(self.walk.n_inputs):
                        self.seen[i] = NAN
                complete = encode_row(
                    x, self.keys, self.columns, <PyTypeObject *>_float64, self.seen
                )
                if complete >= 0:
                    self.complete = complete and n == self.walk.n_inputs
                    self.new, self.named = False, None
                    return 0
        return self._encode_any(x)

    cdef int _check_undisturbed(self, Arena arena, int64_t changes, str name) except -1:
        """A value may have methods in Python, and those may do anything."""
        if not self.holds or self.arena is not arena or self.changes != changes:
            raise RuntimeError(
                f"the model was used while it read {name}: by a value of {name}, or by another "
                "thread; a model does one thing at a time"
            )
        return 0

    cdef int _encode_any(self, object x) except -1:
        cdef int64_t changes = self.changes
        cdef Arena arena = self.arena
        encoded = self.encoder.encode(x)
        self._check_undisturbed(arena, changes, "x")
        read(encoded.values, self.seen, self.walk.n_inputs)
        self.complete, self.new = encoded.complete, bool(encoded.new)
        self.keys, self.named = None, encoded.seen
        if not encoded.new and encoded.seen is None and type(x) is dict:
            self._learn_keys(x)
        return 0

    cdef int _learn_keys(self, dict x) except -1:
        """Remember the order of keys, if they are plain strings or ints with columns."""
        cdef list keys = list(x)
        cdef dict known_columns = self.encoder._columns
        cdef int i, n = len(keys)
        cdef int *columns
        for key in keys:
            if type(key) is not str and type(key) is not int or key not in known_columns:
                return 0
        columns = <int *>calloc(n + 1, sizeof(int))
        if columns == NULL:
            raise MemoryError()
        for i in range(n):
            columns[i] = known_columns[keys[i]]
        free(self.columns)
        self.columns = columns
        self.keys = keys
        return 0

    cdef int _propose(self, object x) except -1:
        """Make the step of x, unless it was made already."""
        cdef Walk *s = &self.walk
        cdef size_t size = s.n_inputs * sizeof(double)
        self._encode(x)
        if self.remembers and memcmp(self.seen, self.values, size) == 0:
            return 0
        self.remembers = False
        memcpy(self.values, self.seen, size)
        s.complete = self.complete
        self.kernels.propose(s)
        if self.foreign:
            self._propose_foreign()
        self.kernels.finish(s)
        self.remembers = True
        return 0

    cdef int _propose_foreign(self) except -1:
        cdef Walk *s = &self.walk
        cdef const double[::1] read
        cdef int i, n
        token = write(s.evidence + s.n_reads + 1, s.n_lags + s.n_inputs)
        if self.features._visible is not None:
            token = token[self.features._visible]
        states = self.features.states
        for name, memory, start, n in self.foreign:
            found, self.proposals[name] = memory.propose(token, states[name])
            read = np.ascontiguousarray(found, dtype=np.float64)
            if read.shape[0] != n:
                raise ValueError(f"memory {name!r} read {read.shape[0]} numbers: expected {n}")
            for i in range(n):
                s.raw[<int>start + i] = read[i]
        return 0

    cdef int _commit_foreign(self) except -1:
        states = self.features.states
        for name, memory, _, _ in self.foreign:
            states[name] = memory.commit(states[name], self.proposals[name])
        return 0

    cdef Rows _rows(self, object names, object X):
        """The rows of a matrix, for which other threads may run from now on; None: ask NumPy.

        Call ``_done`` after the last row.
        """
        if not self.holds and not self._take():
            return None
        self._check_idle()
        if self.foreign or self.encoder._starts:
            return None
        cdef Rows rows = Rows(names, X, self.encoder)
        self.remembers, self.busy = False, True
        return rows

    cdef int _done(self, bint changed) except -1:
        """The last of some rows was done."""
        self.busy, self.new, self.named = False, False, None
        if changed:
            self.dirty = True
            self.changes += 1
        return 0

    cdef bint _propose_row(self, Rows rows, Py_ssize_t at, bint learns) noexcept nogil:
        """Make the step of a row; False if it has a value without a column."""
        cdef Walk *s = &self.walk
        cdef int complete = rows.see(at, s.n_inputs, self.values)
        if complete < 0 and (learns or rows.is_strict):
            return False
        s.complete = complete > 0
        self.kernels.propose(s)
        self.kernels.finish(s)
        return True

    cdef bytes _sign(self, const double *values):
        """What the row that was encoded last is known by; its values."""
        cdef unsigned char signature[16]
        cdef const int64_t[::1] columns
        cdef const int64_t *which = NULL
        cdef int64_t n = self.walk.n_inputs
        if self.seeds is None:
            self.seeds = self.encoder.seeds()
        if self.named is not None:
            columns = np.ascontiguousarray(self.named, np.int64)
            n = columns.shape[0]
            which = &columns[0] if n else NULL
        sign_row(values, &self.seeds[0, 0] if n else NULL, which, n, signature)
        return signature[:16]

    def signature(self, x):
        """What x is known by, see the encoder; None: ask NumPy."""
        if not self.holds and not self._take():
            return None
        self._encode(x)
        return None if self.new else self._sign(self.seen)

    def see(self, bint signs):
        """Time advances by the step proposed last; what it is known by, if asked, and its evidence.

        Nothing may have happened in between.
        """
        if not self.holds or not self.remembers or self.new:
            raise RuntimeError("there is no step that was proposed last")
        cdef bytes signature = self._sign(self.values) if signs else None
        evidence = write(self.walk.evidence, self.walk.size)
        self._pass()
        return signature, evidence

    def look(self, x):
        """A copy of the evidence of x; None: ask NumPy."""
        if not self.holds and not self._take():
            return None
        self._propose(x)
        return write(self.walk.evidence, self.walk.size)

    def advance(self, x):
        """Time passes without a label; False: nothing was done, ask NumPy."""
        if not self.holds and not self._take():
            return False
        self._propose(x)
        if self.new:
            return False
        self._pass()
        return True

    cdef int _pass(self) except -1:
        """Time advances by the step proposed last, without a label."""
        self._commit_foreign()
        self._count(self.values, self.walk.complete)
        self.dirty, self.remembers = True, False
        self.changes += 1
        self.kernels.commit(&self.walk)
        return 0


cdef class PastAsInputs(Walker):
    """A walk whose past labels are columns of the input, which no x has."""

    cdef int _see_past(self) noexcept nogil:
        """The past labels to their columns of `seen`."""
        return 0

    cdef dict _lags(self):
        """The past labels as features."""
        raise NotImplementedError

    cdef int _encode(self, object x) except -1:
        """As of all, with the past labels beside."""
        cdef int i, n = self.walk.n_inputs
        self._check_idle()
        if self.keys is not None and PyDict_CheckExact(x):
            if PyDict_GET_SIZE(x) == PyList_GET_SIZE(self.keys):
                for i in range(n):
                    self.seen[i] = NAN
                if encode_row(
                    x, self.keys, self.columns, <PyTypeObject *>_float64, self.seen
                ) >= 0:
                    self._see_past()
                    self.complete = 1
                    for i in range(n):
                        if self.seen[i] != self.seen[i]:
                            self.complete = 0
                    self.new, self.named = False, None
                    return 0
        if type(x) is not dict and not isinstance(x, Mapping):
            self.encoder.clean(x)  # says what is wrong
        self._encode_any({**x, **self._lags()})
        if not self.new and self.named is None and type(x) is dict:
            self._learn_keys(x)
        return 0

    cdef bint _propose_row(self, Rows rows, Py_ssize_t at, bint learns) noexcept nogil:
        """As of all, with the past labels beside."""
        cdef Walk *s = &self.walk
        cdef int i, complete = rows.see(at, s.n_inputs, self.seen)
        if complete < 0 and (learns or rows.is_strict):
            return False
        self._see_past()
        s.complete = 1
        for i in range(s.n_inputs):
            self.values[i] = self.seen[i]
            if self.seen[i] != self.seen[i]:
                s.complete = 0
        self.kernels.propose(s)
        self.kernels.finish(s)
        return True
