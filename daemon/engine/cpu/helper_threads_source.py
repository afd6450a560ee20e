"""Threads that help whoever computes a product, in C++ for Linux: `in_pieces` and `help_with`.

Pieces of the outputs are taken by one counter, by whoever gets round to it: who computes takes them too, and waits at
last for nothing but a piece that somebody is at. A helper looks for the next product for some 10 to 20 us, longer than
what lies between two products of a decode step mostly takes, and then sleeps; one that does not help sleeps until it
shall. Of two products at the same time one has them all.
"""

from __future__ import annotations

HELPER_THREADS = """
#include <atomic>
#include <climits>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

struct Work {
  void (*piece)(const void*, long, long);
  const void* with;
  long end, size;
  std::atomic<long> next;

  void take() {
    for (long from; (from = next.fetch_add(size, std::memory_order_relaxed)) < end;)
      piece(with, from, from + size < end ? from + size : end);
  }
};

constexpr int SPINS = 500;
static std::atomic<Work*> offered{nullptr};
static std::atomic<int> turn{0};  // another number whenever something is offered
static std::atomic<int> asleep{0};  // helpers that wait for that
static std::atomic<int> inside{0};  // helpers that may be at what is, or was, offered
static std::atomic<int> helpers{0};  // so many of the threads help, the first ones
static std::atomic_flag taken = ATOMIC_FLAG_INIT;

static inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ __volatile__("yield");
#endif
}

// Sleep while it is this number, until somebody wakes all who do.
static inline void sleep_while(std::atomic<int>& number, int seen) {
  syscall(SYS_futex, &number, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}

static inline void wake(std::atomic<int>& number) {
  syscall(SYS_futex, &number, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

static void* help(void* argument) {
  const long number = reinterpret_cast<long>(argument);
  for (int seen = turn;;) {
    for (int now; number >= (now = helpers);) sleep_while(helpers, now);
    for (int i = 0; i < SPINS && turn == seen; i++) relax();
    while (turn == seen) {
      asleep++;
      sleep_while(turn, seen);
      asleep--;
    }
    seen = turn;
    inside++;
    if (Work* work = number < helpers ? offered.load() : nullptr) work->take();
    inside--;
  }
}

// Calls piece(from, to) until all outputs are done, of as many at a time.
template <typename F>
static inline void in_pieces(long end, long size, const F& piece) {
  if (!helpers || end < 2 * size || taken.test_and_set(std::memory_order_acquire)) {
    piece(0, end);
    return;
  }
  auto call = [](const void* with, long from, long to) { (*static_cast<const F*>(with))(from, to); };
  Work work{call, &piece, end, size, {0}};
  offered = &work;
  turn++;
  if (asleep) wake(turn);
  work.take();
  offered = nullptr;
  for (int i = 0; inside; i++) {
    if (i < 1000) relax();
    else sched_yield();
  }
  taken.clear(std::memory_order_release);
}

// With so many helpers from now on; gives how many there are.
extern "C" int help_with(int count) {
  static int begun = 0;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (pthread_t thread; begun < count; begun++) {
    if (pthread_create(&thread, nullptr, help, reinterpret_cast<void*>(static_cast<long>(begun)))) break;
    pthread_setname_np(thread, "few-rows");
    pthread_detach(thread);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  helpers = count < begun ? count : begun;
  wake(helpers);
  return helpers;
}
"""
