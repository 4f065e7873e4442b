"""Populations of spiking neurons, on the buffers of their NumPy state."""

cdef extern from "src/spiking.h" nogil:
    ctypedef struct CFiring "Firing":
        int n, dim, size
        double *at
        double *slots
    CFiring firing_of(double *buffer, int n, int dim, int size)
    void c_respond "population_respond"(
        const CFiring *, const double *decays, double g, double kept, const double *currents,
        double *read, double *numbers)
    void c_commit "population_commit"(
        CFiring *, const double *decays, const double *numbers, const double *read, double rate,
        double target)


cdef CFiring firing(double[::1] buffer, Py_ssize_t n, int dim) except *:
    """The parts of a buffer of n neurons."""
    cdef Py_ssize_t room = buffer.shape[0] - 1
    if n < 1 or dim < 1 or room % n or room // n < dim + 8 or (room // n - dim) % 2:
        raise ValueError(f"a buffer of {room + 1} numbers for {n} neurons with {dim} slots")
    cdef CFiring s = firing_of(&buffer[0], n, dim, (room // n - dim - 6) // 2)
    if not 0.0 <= s.at[0] < s.size:
        raise ValueError(f"at={s.at[0]}: there are {s.size} slots")
    return s


def population_respond(
    double[::1] buffer, int dim, const double[::1] decays, double g, double kept,
    const double[::1] currents
):
    """What a step would make of a state: read, places, slots and values [6 n]."""
    cdef Py_ssize_t n = decays.shape[0]
    cdef CFiring s = firing(buffer, n, dim)
    if currents.shape[0] != 3 * n:
        raise ValueError(f"{currents.shape[0]} currents for {n} neurons")
    made = np.empty(6 * n)
    cdef double[::1] numbers = made
    c_respond(&s, &decays[0], g, kept, &currents[0], &numbers[0], &numbers[3 * n])
    return made


def population_commit(
    double[::1] buffer, int dim, const double[::1] decays, const double[::1] made, double rate,
    double target
):
    """Make the step of a proposal the past."""
    cdef Py_ssize_t n = decays.shape[0], i
    cdef CFiring s = firing(buffer, n, dim)
    if made.shape[0] != 6 * n:
        raise ValueError(f"a proposal of {made.shape[0]} numbers for {n} neurons")
    for i in range(3 * n, 4 * n):
        if not 0.0 <= made[i] < n * dim:
            raise ValueError(f"slot {made[i]}: there are {n * dim}")
    c_commit(&s, &decays[0], &made[3 * n], &made[0], rate, target)


def neuron_run(
    double[::1] buffer, int dim, double decay, double g, const double[::1] queries,
    const double[::1] keys, const double[::1] values
):
    """The outputs of one neuron for a whole sequence."""
    cdef Py_ssize_t t, T = queries.shape[0]
    cdef double currents[3]
    cdef double read[3]
    cdef double numbers[3]
    cdef CFiring s = firing(buffer, 1, dim)
    if keys.shape[0] != T or values.shape[0] != T:
        raise ValueError("sequences of different lengths")
    outputs = np.empty(T)
    cdef double[::1] out = outputs
    for t in range(T):
        currents[0], currents[1], currents[2] = queries[t], keys[t], values[t]
        c_respond(&s, &decay, g, 0.0, currents, read, numbers)
        c_commit(&s, &decay, numbers, read, 0.0, 0.0)
        out[t] = read[0]
    return outputs
