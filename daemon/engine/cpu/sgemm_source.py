"""`cblas_sgemm` for few rows, in C++: weights are read once, as they lie in memory, and nothing of them is copied.

OpenBLAS copies a matrix into the order of its kernel for every product, which pays for hundreds of rows. A decode step
has one to some; then the copy is most of the time (docs/performance.md). There are three ways, all for row-major
matrices whose first one is not transposed, M x K by K x N:

- one to three rows by transposed weights: sums of products along the inputs, as many outputs at a time as there are
  registers for;
- more rows by transposed weights: the rows are the lanes of a vector, for which the small first matrix is turned
  around once, and each weight is multiplied with all of them;
- by weights that are not transposed, which the values of attention are: some outputs at a time, in lanes.

What a row comes to does not depend on what stands in the others, nor on who computes it: helpers take pieces of the
outputs of large products, as many as they get round to, so that nobody waits for one that has no core. All else goes
to the library whose place this takes.
"""

from __future__ import annotations

from .helper_threads_source import HELPER_THREADS

_PRODUCTS = """
#include <cstddef>
#include <vector>

#if defined(__AVX512F__)
constexpr int W = 16, MANY = 6;  // floats of a vector; outputs at a time for three rows
#elif defined(__AVX__)
constexpr int W = 8, MANY = 4;
#else
constexpr int W = 4, MANY = 4;
#endif
constexpr int ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112;  // as in cblas.h
constexpr long FEW_ROWS = 16, MANY_WEIGHTS = 1 << 17;  // more rows by fewer weights are the library's, as in attention
constexpr long PIECE = 1 << 14;  // weights
constexpr long MOST_ROWS = 64, MOST_INPUTS = 65536, MOST_COLUMNS = 256;

typedef float V __attribute__((vector_size(4 * W)));

static inline V load(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

static inline void store(float* p, V v) { __builtin_memcpy(p, &v, sizeof v); }

static inline V all(float x) { return x - V{}; }

static inline float sum(V v) {
  float x[W];
  store(x, v);
  for (int half = W / 2; half; half /= 2)
    for (int i = 0; i < half; i++) x[i] += x[i + half];
  return x[0];
}

struct Product {
  long M, N, K;
  float alpha;
  const float* a;
  long lda;
  const float* b;
  long ldb;
  float beta;
  float* c;
  long ldc;

  inline void put(long m, long n, float value) const {
    float* place = c + m * ldc + n;
    *place = beta == 0 ? alpha * value : alpha * value + beta * *place;
  }

  // What the next R outputs begin to need when these are done, a line of the cache at a time.
  template <int R>
  inline void fetch(long n, long k) const {
    if (k % 16 == 0)
      for (int r = 0; r < R; r++) __builtin_prefetch(b + (n + R + r) * ldb + k);
  }

  // M rows, R outputs from n on.
  template <int M, int R>
  inline void along(long n) const {
    V sums[M][R] = {};
    long k = 0;
    for (; k + W <= K; k += W) {
      if (M > 1) fetch<R>(n, k);
      V y[R];
      for (int r = 0; r < R; r++) y[r] = load(b + (n + r) * ldb + k);
      for (int m = 0; m < M; m++) {
        V x = load(a + m * lda + k);
        for (int r = 0; r < R; r++) sums[m][r] += x * y[r];
      }
    }
    for (int m = 0; m < M; m++)
      for (int r = 0; r < R; r++) {
        float value = sum(sums[m][r]);
        for (long left = k; left < K; left++) value += a[m * lda + left] * b[(n + r) * ldb + left];
        put(m, n + r, value);
      }
  }

  template <int M, int R>
  inline void all_along() const {
    in_pieces(N, piece(R), [this](long n, long end) {
      for (; n + R <= end; n += R) along<M, R>(n);
      for (; n < end; n++) along<M, 1>(n);
    });
  }

  // How many outputs are worth another thread's while, of as many at a time.
  long piece(long R) const { return (PIECE / K / R + 1) * R; }

  // Up to P vectors of rows, which lie turned around in `turned`; R outputs from n on. One vector takes two inputs
  // at a time, so that no sum waits for the last one.
  template <int P, int R>
  inline void across(const float* turned, long n) const {
    constexpr int U = 2 / P;
    V sums[U][R][P] = {};
    long k = 0;
    for (; k + U <= K; k += U) {
      fetch<R>(n, k);
      for (int u = 0; u < U; u++) {
        V x[P];
        for (int p = 0; p < P; p++) x[p] = load(turned + ((k + u) * P + p) * W);
        for (int r = 0; r < R; r++) {
          V y = all(b[(n + r) * ldb + k + u]);
          for (int p = 0; p < P; p++) sums[u][r][p] += x[p] * y;
        }
      }
    }
    for (; k < K; k++)
      for (int r = 0; r < R; r++)
        for (int p = 0; p < P; p++) sums[0][r][p] += load(turned + (k * P + p) * W) * all(b[(n + r) * ldb + k]);
    float values[R][P * W];
    for (int r = 0; r < R; r++)
      for (int p = 0; p < P; p++) store(values[r] + p * W, U == 2 ? sums[0][r][p] + sums[U - 1][r][p] : sums[0][r][p]);
    for (long m = 0; m < M; m++)
      for (int r = 0; r < R; r++) put(m, n + r, values[r][m]);
  }

  // In groups of as many rows, each of which finds the weights of some outputs in the cache.
  template <int P>
  inline void all_across() const {
    constexpr int R = 6;
    constexpr long LANES = P * W;
    static thread_local std::vector<float> room;
    const long size = K * LANES, groups = (M + LANES - 1) / LANES;
    if (room.size() < static_cast<std::size_t>(size * groups)) room.resize(size * groups);
    for (long m = 0; m < groups * LANES; m++) {
      float* lane = room.data() + m / LANES * size + m % LANES;
      for (long k = 0; k < K; k++) lane[k * LANES] = m < M ? a[m * lda + k] : 0;
    }
    const float* turned = room.data();
    in_pieces(N, piece(R), [=](long n, long end) {
      for (; n + R <= end; n += R)
        for (long one = 0; one < groups; one++) group<LANES>(one).template across<P, R>(turned + one * size, n);
      for (; n < end; n++)
        for (long one = 0; one < groups; one++) group<LANES>(one).template across<P, 1>(turned + one * size, n);
    });
  }

  template <long LANES>
  inline Product group(long one) const {
    Product part = *this;
    part.c += one * LANES * ldc;
    part.M = M - one * LANES < LANES ? M - one * LANES : LANES;
    return part;
  }

  // Q rows from m on, R vectors of outputs from n on, of weights that are not transposed.
  template <int Q, int R>
  inline void beside(long m, long n) const {
    V sums[Q][R] = {};
    for (long k = 0; k < K; k++) {
      V y[R];
      for (int r = 0; r < R; r++) y[r] = load(b + k * ldb + n + r * W);
      for (int q = 0; q < Q; q++) {
        V x = all(a[(m + q) * lda + k]);
        for (int r = 0; r < R; r++) sums[q][r] += x * y[r];
      }
    }
    for (int q = 0; q < Q; q++)
      for (int r = 0; r < R; r++) {
        float* place = c + (m + q) * ldc + n + r * W;
        V value = all(alpha) * sums[q][r];
        store(place, beta == 0 ? value : value + all(beta) * load(place));
      }
  }

  template <int R>
  inline void all_beside(long n) const {
    long m = 0;
    for (; m + 4 <= M; m += 4) beside<4, R>(m, n);
    for (; m < M; m++) beside<1, R>(m, n);
  }

  bool by_transposed() const {
    if (K < 1 || K > MOST_INPUTS || M > MOST_ROWS || (M > FEW_ROWS && N * K < MANY_WEIGHTS)) return false;
    if (M == 1) all_along<1, 8>();
    else if (M == 2) all_along<2, MANY>();
    else if (M == 3) all_along<3, MANY>();
    else if (M <= W) all_across<1>();
    else all_across<2>();
    return true;
  }

  bool by_plain() const {
    if (N % W || N > MOST_COLUMNS || M > FEW_ROWS) return false;
    long n = 0;
    for (; n + 2 * W <= N; n += 2 * W) all_beside<2>(n);
    for (; n < N; n += W) all_beside<1>(n);
    return true;
  }
};

typedef void Sgemm(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);

extern "C" {
Sgemm* library_sgemm = nullptr;
volatile int most_rows = 0;

void few_rows_sgemm(int order, int turn_a, int turn_b, int M, int N, int K, float alpha, const float* a, int lda,
                    const float* b, int ldb, float beta, float* c, int ldc) {
  if (M <= most_rows && order == ROW_MAJOR && turn_a == AS_IS) {
    Product product{M, N, K, alpha, a, lda, b, ldb, beta, c, ldc};
    if (turn_b == TRANSPOSED ? product.by_transposed() : turn_b == AS_IS && product.by_plain()) return;
  }
  library_sgemm(order, turn_a, turn_b, M, N, K, alpha, a, lda, b, ldb, beta, c, ldc);
}
}
"""

SOURCE = HELPER_THREADS + _PRODUCTS
