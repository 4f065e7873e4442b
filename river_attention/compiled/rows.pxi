"""The rows of a block."""

cdef class Rows:
    """A matrix of features, and the columns that an encoder has for them.

    Parameters
    ----------
    names
        Name of every column of the matrix, none twice.
    X
        The values [n, len(names)], C-contiguous; NaN = missing.
    encoder
        Knows the columns.
    """

    cdef const double[:, ::1] X
    cdef Py_ssize_t n
    cdef int n_names, n_known
    cdef int *columns  # -1 for names that are new
    cdef bint is_strict  # whether rows with new names have to be looked at one by one

    def __cinit__(self, names, X, encoder):
        cdef dict known_columns = encoder._columns
        cdef int j
        self.X, self.n, self.n_names = X, len(X), len(names)
        self.columns = <int *>calloc(self.n_names + 1, sizeof(int))
        if self.columns == NULL:
            raise MemoryError()
        for j in range(self.n_names):
            self.columns[j] = known_columns.get(names[j], -1)
            self.n_known += self.columns[j] >= 0
        # one row may have more names than there is room for, which is worth a warning
        self.is_strict = encoder.max_features is not None and self.n_names > encoder.max_features

    def __dealloc__(self):
        free(self.columns)

    cdef int see(self, Py_ssize_t row, int n_inputs, double *out) noexcept nogil:
        """See ``see_row``."""
        cdef const double *values = &self.X[row, 0] if self.n_names else NULL
        return see_row(values, self.columns, self.n_names, self.n_known, n_inputs, out)
