// SPDX-License-Identifier: Apache-2.0
// Work shared out to threads that live for one call: nothing spins between calls, nothing has to
// survive a fork, and no OpenMP runtime competes with MindSpore's own.
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels.h"

namespace pms {
namespace {

constexpr int MOST_THREADS = 256;
constexpr double WORTH_A_THREAD = 4e5;  // multiply-adds; starting a thread costs about 20 us

struct Shared {
  Work work;
  const void *job;
  int64_t units, next;
};

struct Worker {
  Shared *shared;
  float *scratch;
};

void *run(void *worker_) {
  Worker *worker = static_cast<Worker *>(worker_);
  Shared *shared = worker->shared;
  for (;;) {
    const int64_t unit = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);
    if (unit >= shared->units) return nullptr;
    shared->work(shared->job, unit, worker->scratch);
  }
}

int available_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

// Working memory kept between calls: the system takes longer to hand out fresh pages than a small
// kernel takes to run. A slot holds one idle block; its first 64 bytes say how large it is.
constexpr int SLOTS = 4;
constexpr int64_t MOST_KEPT = int64_t(1) << 26;  // bytes; larger blocks go back
char *idle[SLOTS];

int64_t &size_of(char *block) { return *reinterpret_cast<int64_t *>(block); }

}  // namespace

float *borrow(int64_t floats) {
  const int64_t bytes = (static_cast<int64_t>(sizeof(float)) * floats + 127) / 64 * 64;
  for (char *&slot : idle) {
    char *block = __atomic_exchange_n(&slot, nullptr, __ATOMIC_ACQ_REL);
    if (block && size_of(block) >= bytes) return reinterpret_cast<float *>(block + 64);
    free(block);
  }
  char *block = static_cast<char *>(aligned_alloc(64, bytes));
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
  Shared shared = {work, job, units, 0};
  Worker workers[MOST_THREADS];
  pthread_t handles[MOST_THREADS];
  int64_t started = 0;
  for (int64_t t = 0; t < n; t++) workers[t] = {&shared, memory + t * stride};
  // A thread that cannot start is no failure: the others do its share.
  while (started + 1 < n &&
         pthread_create(&handles[started], nullptr, run, &workers[started + 1]) == 0)
    started++;
  run(&workers[0]);
  for (int64_t t = 0; t < started; t++) pthread_join(handles[t], nullptr);
  give_back(memory);
  return PMS_OK;
}

}  // namespace pms
