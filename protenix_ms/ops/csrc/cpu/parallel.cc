// SPDX-License-Identifier: Apache-2.0
// Work shared out to a few threads of our own: no OpenMP runtime competes with MindSpore's pool.
//
// Workers live as long as the process, since starting or waking one takes as long as a small kernel
// runs; after a job they look out for the next one for a moment, then sleep. The caller works too
// and never waits for a worker that has not come: what it does not share it does alone. A forked
// child starts its own.
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "kernels.h"

namespace pms {
namespace {

constexpr int MOST_THREADS = 256;
constexpr double WORTH_A_THREAD = 1e6;  // multiply-adds, some 20 us
constexpr int64_t LOOKOUT = 400000;     // nanoseconds that a worker looks for the next job
constexpr int64_t CLOSED = int64_t(1) << 32;

struct Shared {
  Work work;
  const void *job;
  int64_t units, next;
  float *scratch;
  int64_t stride, threads, places;  // places taken by workers
};

pthread_mutex_t one_caller = PTHREAD_MUTEX_INITIALIZER, asleep = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
pthread_t workers[MOST_THREADS];
int64_t started = 0;
int avoided = -1;             // core that workers keep off
int64_t ticket = 0;           // counts jobs
int64_t sleepers = 0;
int64_t inside = CLOSED;      // workers at the current job; CLOSED while there is none
Shared *current = nullptr;    // only read from inside

void run(Shared *shared, int64_t place) {
  float *scratch = shared->scratch + place * shared->stride;
  for (;;) {
    const int64_t unit = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);
    if (unit >= shared->units) return;
    shared->work(shared->job, unit, scratch);
  }
}

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

int64_t nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t(1000000000) + now.tv_nsec;
}

// Returns when there is a job after number `seen`.
void wait_for_job(int64_t seen) {
  const int64_t until = nanoseconds() + LOOKOUT;
  do {
    for (int i = 0; i < 64; i++) {
      if (__atomic_load_n(&ticket, __ATOMIC_ACQUIRE) != seen) return;
      pause_briefly();
    }
  } while (nanoseconds() < until);
  pthread_mutex_lock(&asleep);
  __atomic_fetch_add(&sleepers, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&ticket, __ATOMIC_SEQ_CST) == seen) pthread_cond_wait(&wake, &asleep);
  __atomic_fetch_sub(&sleepers, 1, __ATOMIC_SEQ_CST);
  pthread_mutex_unlock(&asleep);
}

void *worker(void *) {
  for (int64_t seen = 0;;) {
    wait_for_job(seen);
    seen = __atomic_load_n(&ticket, __ATOMIC_ACQUIRE);
    if (__atomic_fetch_add(&inside, 1, __ATOMIC_ACQ_REL) < CLOSED) {
      Shared *shared = current;
      const int64_t place = __atomic_add_fetch(&shared->places, 1, __ATOMIC_RELAXED);
      if (place < shared->threads) run(shared, place);
    }
    __atomic_fetch_sub(&inside, 1, __ATOMIC_ACQ_REL);
  }
}

#ifdef __linux__
// Workers run on any core but the caller's: a scheduler may wake them on the caller's own, where
// they wait half a millisecond for the load to be balanced.
void keep_off(int core) {
  cpu_set_t set;
  if (core < 0 || core >= CPU_SETSIZE || core == avoided) return;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return;
  CPU_CLR(core, &set);
  if (CPU_COUNT(&set) == 0) return;
  for (int64_t i = 0; i < started; i++) pthread_setaffinity_np(workers[i], sizeof(set), &set);
  avoided = core;
}
#endif

// A forked child has no workers, whatever they were doing.
void forget_workers() {
  pthread_mutex_init(&one_caller, nullptr);
  pthread_mutex_init(&asleep, nullptr);
  pthread_cond_init(&wake, nullptr);
  started = ticket = sleepers = 0;
  inside = CLOSED;
  avoided = -1;
}

// At least `wanted` workers where the system allows.
void start_workers(int64_t wanted) {
  static bool forks_known = false;
  if (!forks_known) forks_known = pthread_atfork(nullptr, nullptr, forget_workers) == 0;
  while (started < wanted && pthread_create(&workers[started], nullptr, worker, nullptr) == 0) {
    pthread_detach(workers[started++]);
    avoided = -1;
  }
}

int available_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

// The job with workers; the caller holds `one_caller`.
void run_shared(Shared *shared) {
  start_workers(shared->threads - 1);
#ifdef __linux__
  keep_off(sched_getcpu());
#endif
  current = shared;
  __atomic_fetch_and(&inside, CLOSED - 1, __ATOMIC_ACQ_REL);
  __atomic_fetch_add(&ticket, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&sleepers, __ATOMIC_SEQ_CST) > 0) {
    pthread_mutex_lock(&asleep);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&asleep);
  }
  run(shared, 0);
  for (int64_t i = __atomic_or_fetch(&inside, CLOSED, __ATOMIC_ACQ_REL); i != CLOSED;
       i = __atomic_load_n(&inside, __ATOMIC_ACQUIRE))
    pause_briefly();
}

// Working memory kept between calls: the system takes longer to hand out fresh pages than a small
// kernel takes to run. A slot holds one idle block; its first 64 bytes say how large it is.
constexpr int SLOTS = 4;
constexpr int64_t MOST_KEPT = int64_t(1) << 26;  // bytes; larger blocks go back
char *idle[SLOTS];

int64_t &size_of(char *block) { return *reinterpret_cast<int64_t *>(block); }

// Many systems give large pages, whose addresses are found faster, to those alone who ask.
constexpr int64_t HUGE_PAGE = int64_t(1) << 21;
char *huge_pages(int64_t bytes) {
  char *block = static_cast<char *>(aligned_alloc(HUGE_PAGE, bytes));
#ifdef MADV_HUGEPAGE
  if (block) madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return block;
}

}  // namespace

float *borrow(int64_t floats) {
  const int64_t bytes = (static_cast<int64_t>(sizeof(float)) * floats + 127) / 64 * 64;
  for (char *&slot : idle) {
    char *block = __atomic_exchange_n(&slot, nullptr, __ATOMIC_ACQ_REL);
    if (block && size_of(block) >= bytes) return reinterpret_cast<float *>(block + 64);
    free(block);
  }
  char *block = bytes < HUGE_PAGE / 2 ? static_cast<char *>(aligned_alloc(64, bytes))
                                      : huge_pages((bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
  if (!block) return nullptr;
  size_of(block) = bytes;
  return reinterpret_cast<float *>(block + 64);
}

void give_back(float *memory) {
  if (!memory) return;
  char *block = reinterpret_cast<char *>(memory) - 64;
  if (size_of(block) <= MOST_KEPT)
    for (char *&slot : idle) {
      block = __atomic_exchange_n(&slot, block, __ATOMIC_ACQ_REL);
      if (!block) return;
    }
  free(block);
}

int parallel_for(Work work, const void *job, int64_t units, int64_t scratch_floats, int threads,
                 double multiply_adds) {
  if (units <= 0) return PMS_OK;
  int64_t n = threads > 0 ? threads : available_cores();
  if (n > MOST_THREADS) n = MOST_THREADS;
  if (n > units) n = units;
  if (n > multiply_adds / WORTH_A_THREAD) n = static_cast<int64_t>(multiply_adds / WORTH_A_THREAD);
  if (n < 1) n = 1;
  const int64_t stride = (scratch_floats + 15) / 16 * 16 + 16;
  float *memory = borrow(stride * n);
  if (!memory) return PMS_NO_MEMORY;
  Shared shared = {work, job, units, 0, memory, stride, n, 0};
  if (n > 1 && pthread_mutex_trylock(&one_caller) == 0) {
    run_shared(&shared);
    pthread_mutex_unlock(&one_caller);
  } else {
    run(&shared, 0);
  }
  give_back(memory);
  return PMS_OK;
}

}  // namespace pms
