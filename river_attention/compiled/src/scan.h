/* The loop over time of functional/recurrence.py, for tokens that lie in memory one after the other.
 * The file that includes this one says what REAL is, and how the functions are called. */

#define RESTRICT __restrict

/* o = q' S of a head: q [dk], S [dk, dv] */
RA_INLINE void REAL_NAME(read)(const REAL *RESTRICT q, const REAL *RESTRICT S, int dk, int dv,
                               REAL *RESTRICT o) {
    for (int c = 0; c < dv; c++) o[c] = 0;
    for (int i = 0; i < dk; i++)
        for (int c = 0; c < dv; c++) o[c] += q[i] * S[i * dv + c];
}

/* S = a S, and what was found there meanwhile: found = b' S, before the decay or after it */
RA_INLINE void REAL_NAME(decay)(const Tokens *s, const REAL *a, const REAL *b, REAL *RESTRICT S,
                                REAL *RESTRICT found, int before) {
    int dk = s->d_key, dv = s->d_value;
    if (found)
        for (int c = 0; c < dv; c++) found[c] = 0;
    for (int i = 0; i < dk; i++) {
        REAL fade = a[i * s->decay_key];
        REAL *RESTRICT row = S + i * dv;
        if (!found)
            for (int c = 0; c < dv; c++) row[c] *= fade;
        else if (before)
            for (int c = 0; c < dv; c++) {
                found[c] += b[i] * row[c];
                row[c] *= fade;
            }
        else
            for (int c = 0; c < dv; c++) {
                row[c] *= fade;
                found[c] += b[i] * row[c];
            }
    }
}

/* S += r found' + k v' */
RA_INLINE void REAL_NAME(write)(const REAL *r, const REAL *RESTRICT found, const REAL *k,
                                const REAL *RESTRICT v, REAL *RESTRICT S, int dk, int dv) {
    for (int i = 0; i < dk; i++) {
        REAL *RESTRICT row = S + i * dv;
        if (r)
            for (int c = 0; c < dv; c++) row[c] += r[i] * found[c];
        for (int c = 0; c < dv; c++) row[c] += k[i] * v[c];
    }
}

/* the last sub-step and the read in one pass: S = a S + r found' + k v', o = q' S; a and r may be 0 */
RA_INLINE void REAL_NAME(last)(const Tokens *s, const REAL *a, const REAL *r,
                               const REAL *RESTRICT found, const REAL *k, const REAL *RESTRICT v,
                               const REAL *q, REAL *RESTRICT S, REAL *RESTRICT o) {
    int dk = s->d_key, dv = s->d_value;
    for (int c = 0; c < dv; c++) o[c] = 0;
    for (int i = 0; i < dk; i++) {
        REAL *RESTRICT row = S + i * dv, key = k[i], query = q[i];
        REAL fade = a ? a[i * s->decay_key] : 1, removed = r ? r[i] : 0;
        if (a)
            for (int c = 0; c < dv; c++) {
                row[c] = fade * row[c] + key * v[c];
                o[c] += query * row[c];
            }
        else if (r)
            for (int c = 0; c < dv; c++) {
                row[c] += removed * found[c] + key * v[c];
                o[c] += query * row[c];
            }
        else
            for (int c = 0; c < dv; c++) {
                row[c] += key * v[c];
                o[c] += query * row[c];
            }
    }
}

/* linear, dplr and product steps: decay, n times remove and write, read */
static void REAL_NAME(linear)(const Tokens *s, REAL *state, REAL *out, REAL *scratch) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value, n = s->n_sub;
    const REAL *k = s->k, *v = s->v, *q = s->q, *r = s->r, *b = s->b;
    for (int64_t t = 0; t < s->n_steps; t++)
        for (int h = 0; h < H; h++) {
            REAL *S = state + (size_t)h * dk * dv, *o = out + (t * H + h) * dv;
            const REAL *a = (const REAL *)s->decay + t * s->decay_time + h * s->decay_head;
            const REAL *query = q + (t * H + h) * dk;
            if (!r) { /* one sub-step, as where nothing is removed */
                size_t at = t * H + h;
                REAL_NAME(last)(s, a, 0, 0, k + at * dk, v + at * dv, query, S, o);
                continue;
            }
            for (int j = 0; j < n; j++) {
                size_t at = (t * n + j) * H + h;
                if (j == 0)
                    REAL_NAME(decay)(s, a, b + at * dk, S, scratch, s->before);
                else
                    REAL_NAME(read)(b + at * dk, S, dk, dv, scratch);
                if (j == n - 1)
                    REAL_NAME(last)(s, 0, r + at * dk, scratch, k + at * dk, v + at * dv, query, S, o);
                else
                    REAL_NAME(write)(r + at * dk, scratch, k + at * dk, v + at * dv, S, dk, dv);
            }
        }
}

/* RWKV-6: reads what was there, and its own token with a weight of its own */
static void REAL_NAME(bonus)(const Tokens *s, REAL *state, REAL *out, REAL *scratch) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value;
    const REAL *k = s->k, *v = s->v, *q = s->q, *u = s->extra;
    for (int64_t t = 0; t < s->n_steps; t++)
        for (int h = 0; h < H; h++) {
            size_t at = t * H + h;
            REAL *S = state + (size_t)h * dk * dv, own = 0, *o = out + at * dv;
            const REAL *a = (const REAL *)s->decay + t * s->decay_time + h * s->decay_head;
            REAL_NAME(read)(q + at * dk, S, dk, dv, o);
            for (int i = 0; i < dk; i++) own += q[at * dk + i] * u[h * dk + i] * k[at * dk + i];
            for (int c = 0; c < dv; c++) o[c] += own * v[at * dv + c];
            REAL_NAME(decay)(s, a, 0, S, 0, 0);
            REAL_NAME(write)(0, scratch, k + at * dk, v + at * dv, S, dk, dv);
        }
}

/* state and read are [H] here, whatever their shape is elsewhere */
static void REAL_NAME(diagonal)(const Tokens *s, REAL *state, REAL *out) {
    int64_t n = s->n_heads;
    const REAL *a = s->decay, *x = s->k;
    for (int64_t t = 0; t < s->n_steps; t++, a += n, x += n, out += n)
        for (int64_t i = 0; i < n; i++) out[i] = state[i] = a[i] * state[i] + x[i];
}

/* the last column of S sums the keys */
static void REAL_NAME(normalized)(const Tokens *s, REAL *state, REAL *out, REAL *scratch) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value;
    const REAL *k = s->k, *v = s->v, *q = s->q;
    REAL eps = (REAL)s->eps;
    for (int64_t t = 0; t < s->n_steps; t++)
        for (int h = 0; h < H; h++) {
            size_t at = t * H + h;
            REAL *S = state + (size_t)h * dk * dv, *o = out + at * (dv - 1);
            REAL_NAME(write)(0, scratch, k + at * dk, v + at * dv, S, dk, dv);
            REAL_NAME(read)(q + at * dk, S, dk, dv, scratch);
            for (int c = 0; c < dv - 1; c++) o[c] = scratch[c] / (scratch[dv - 1] + eps);
        }
}

/* the state has a row and a column more: the normaliser, and in the corner the maximum m */
static void REAL_NAME(mlstm)(const Tokens *s, REAL *state, REAL *out, REAL *scratch) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value, n = dv + 1;
    const REAL *k = s->k, *v = s->v, *q = s->q, *forget = s->decay, *input = s->extra;
    REAL eps = (REAL)s->eps, largest = (REAL)s->largest_exponent;
    for (int64_t t = 0; t < s->n_steps; t++)
        for (int h = 0; h < H; h++) {
            size_t at = t * H + h;
            REAL *S = state + (size_t)h * (dk + 1) * n, *corner = S + dk * n + dv;
            REAL forgotten = forget[at] + *corner, given = input[at];
            /* NaN where either is */
            REAL m = forgotten > given || forgotten != forgotten ? forgotten : given;
            REAL keep = REAL_EXP(forgotten - m), take = REAL_EXP(given - m);
            for (int i = 0; i < dk; i++) {
                REAL written = take * k[at * dk + i], *RESTRICT row = S + i * n;
                for (int c = 0; c < dv; c++) row[c] = keep * row[c] + written * v[at * dv + c];
                row[dv] = keep * row[dv] + written;
            }
            for (int c = 0; c < dv; c++) S[dk * n + c] = 0;
            *corner = m;
            REAL_NAME(read)(q + at * dk, S, dk, n, scratch);
            REAL size = scratch[dv] < 0 ? -scratch[dv] : scratch[dv];
            REAL least = REAL_EXP(-m < largest ? -m : largest);
            REAL bound = (size > least || size != size ? size : least) + eps;
            for (int c = 0; c < dv; c++) out[at * dv + c] = scratch[c] / bound;
        }
}

/* a state for every level of a Fenwick tree over the past, [L, H, dk, dv] */
static void REAL_NAME(log_linear)(const Tokens *s, REAL *state, REAL *out, REAL *scratch) {
    int H = s->n_heads, dk = s->d_key, dv = s->d_value, L = s->n_levels;
    size_t size = (size_t)dk * dv, level = H * size;
    const REAL *k = s->k, *v = s->v, *q = s->q, *r = s->r, *b = s->b, *weights = s->extra;
    for (int64_t t = 0, n = s->n_tokens; t < s->n_steps; t++, n++) {
        int used = 1, target = 0;
        for (int64_t rest = n; rest && used < L; rest >>= 1) used++;
        if (n) {
            /* the level of the lowest 0 of the number of tokens before the last */
            for (int64_t rest = n - 1; rest & 1; rest >>= 1) target++;
            target = target + 1 < L - 1 ? target + 1 : L - 1;
            for (int l = 0; l < target; l++) {
                REAL *RESTRICT from = state + l * level, *RESTRICT to = state + target * level;
                for (size_t i = 0; i < level; i++) to[i] += from[i];
                memset(from, 0, level * sizeof(REAL));
            }
        }
        for (int h = 0; h < H; h++) {
            size_t at = t * H + h;
            const REAL *a = (const REAL *)s->decay + t * s->decay_time + h * s->decay_head;
            REAL *o = out + at * dv;
            for (int c = 0; c < dv; c++) o[c] = 0;
            for (int l = 0; l < used; l++) {
                REAL *S = state + l * level + h * size;
                REAL_NAME(decay)(s, a, r ? b + at * dk : 0, S, r ? scratch : 0, 0);
                if (r)
                    for (int i = 0; i < dk; i++)
                        for (int c = 0; c < dv; c++) S[i * dv + c] += r[at * dk + i] * scratch[c];
                if (l == 0) REAL_NAME(write)(0, scratch, k + at * dk, v + at * dv, S, dk, dv);
                REAL_NAME(read)(q + at * dk, S, dk, dv, scratch + dv);
                REAL weight = weights[(t * L + l) * H + h];
                for (int c = 0; c < dv; c++) o[c] += weight * scratch[dv + c];
            }
        }
    }
}

static void REAL_NAME(scan)(const Tokens *s, void *state, void *out, void *scratch) {
    switch (s->step) {
    case SCAN_LINEAR: REAL_NAME(linear)(s, state, out, scratch); break;
    case SCAN_BONUS: REAL_NAME(bonus)(s, state, out, scratch); break;
    case SCAN_DIAGONAL: REAL_NAME(diagonal)(s, state, out); break;
    case SCAN_NORMALIZED: REAL_NAME(normalized)(s, state, out, scratch); break;
    case SCAN_MLSTM: REAL_NAME(mlstm)(s, state, out, scratch); break;
    case SCAN_LOG_LINEAR: REAL_NAME(log_linear)(s, state, out, scratch); break;
    }
}

#undef RESTRICT
