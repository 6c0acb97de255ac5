// SPDX-License-Identifier: Apache-2.0
// A model of an Ascend A2's AI cores, precise where kernels go wrong: memory that knows what was
// written, pipes that promise nothing about each other, flags, capacities. Not a model of time,
// except for counters. Written from the public documentation; never compared with hardware.
//
// Pipes. Each core issues instructions in program order to pipes that then run on their own. The
// model executes an instruction when it is issued, and keeps for each pipe what it may rely on: a
// vector clock. An access that touches what another access changed, or changes what it reads,
// fails unless the clock shows the earlier one finished. Flags and barriers are the only way to
// learn that, also for two instructions of one pipe. So every missing synchronisation on the
// executed path is found, whatever the schedule.
#ifndef EMU_MACHINE_H
#define EMU_MACHINE_H
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

enum pipe_t { PIPE_S, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_FIX, PIPE_ALL };

namespace emu {
constexpr uint32_t PIPES = 7;
constexpr uint32_t CROSS_FLAGS = 16;

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

template <class... A>
[[noreturn]] inline void Fail(const A&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    throw Failure(text.str());
}

template <class... A>
inline void Check(bool ok, const A&... parts) {
    if (!ok) Fail(parts...);
}

// A place in the sources as one number.
inline std::vector<const char*> files;
inline int Here(const char* file, int line) {
    size_t i = 0;
    while (i < files.size() && files[i] != file) ++i;
    if (i == files.size()) files.push_back(file);
    return static_cast<int>(i) * 10000 + line;
}
inline std::string Site(int place) {
    std::string file = files.empty() ? "" : files[place / 10000];
    return file.substr(file.rfind('/') + 1) + ":" + std::to_string(place % 10000);
}

// ---- what a test may spoil: one call ignored, or one number changed

struct Mutant {
    std::string kind;   // of a site, see Site
    int line = 0, id = -1;
    bool operator==(const Mutant& o) const { return kind == o.kind && line == o.line && id == o.id; }
};

struct Counters {
    uint64_t vectorRepeats = 0, vectorCalls = 0, mte1 = 0, mte2 = 0, mte3 = 0, fix = 0, mmad = 0,
             scalar = 0;
};

struct Stamp {
    uint32_t actor = 0, tick = 0;  // tick 0: none
};

struct Cell {
    Stamp write, read[2];
    bool atomic = false;
};

// A memory: of a core, or a tensor in global memory.
struct Region {
    std::string name;
    uint8_t* data = nullptr;
    uint64_t size = 0, grain = 32;
    bool constant = false;        // an input: complete, never written
    std::vector<uint8_t> written;  // per two bytes
    std::vector<Cell> cells;       // per grain
    std::vector<uint8_t> own;

    void Track(uint64_t g) {
        grain = g;
        written.assign(size / 2 + 1, 0);
        cells.assign(size / grain + 2, Cell{});
    }
    void Own(const std::string& n, uint64_t bytes, uint64_t g) {
        name = n, size = bytes;
        own.assign(bytes, 0xFF);  // NaN in every floating type
        data = own.data();
        Track(g);
    }
    bool Known(uint64_t begin, uint64_t bytes) const {
        if (constant) return true;
        for (uint64_t i = begin / 2; i < (begin + bytes + 1) / 2; ++i)
            if (!written[i]) return false;
        return true;
    }
};

using Clock = std::vector<uint32_t>;

inline void Join(Clock& a, const Clock& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] = std::max(a[i], b[i]);
}

enum class Place { UB, L1, L0A, L0B, L0C };

struct Core {
    uint32_t index = 0, block = 0, sub = 0;
    bool cube = false;
    Region memory[5];
    uint64_t used[5] = {};
    Clock clock[PIPES];
    uint32_t tick[PIPES] = {};
    std::map<int, Clock> events;               // (event, id) that are set
    std::map<int, Clock> cross[CROSS_FLAGS];   // by sender: sub-block, or 2 for the cube
    bool atomic = false;
    uint32_t syncs = 0;
    Counters count;
    ucontext_t context{};
    std::vector<uint8_t> stack;
    bool done = false;

    Region& at(Place p) { return memory[static_cast<int>(p)]; }
    uint32_t actor(uint32_t pipe) const { return index * PIPES + pipe; }
};

struct Machine {
    std::vector<std::unique_ptr<Core>> cores;
    std::vector<std::unique_ptr<Region>> global;
    std::vector<std::vector<Clock>> syncs;  // per SyncAll: clocks of those who arrived
    uint64_t capacity[5] = {188160, 512 * 1024 - 256, 64 * 1024, 64 * 1024, 128 * 1024};
    uint32_t blocks = 1, tilingKey = 0;
    Core* core = nullptr;
    ucontext_t main{};
    bool progress = false;
    std::string failure;
    Mutant mutant;
    bool listing = false;
    std::vector<Mutant> sites;
    std::set<std::string> seen;
    std::function<void()> kernel;

    bool Spoiled(const std::string& kind, int line, int id) {
        if (listing) {
            std::string key = kind + ":" + std::to_string(line) + ":" + std::to_string(id);
            if (seen.insert(key).second) sites.push_back({kind, line, id});
        }
        return !mutant.kind.empty() && mutant == Mutant{kind, line, id};
    }
};

inline Machine* machine = nullptr;
inline Core& Me() { return *machine->core; }
inline bool Spoiled(const char* kind, int line, int id = -1) {
    return (machine->listing || !machine->mutant.kind.empty()) &&
           machine->Spoiled(kind, line, id);
}
// A stride that a mutation may change by one.
inline uint32_t Number(const char* kind, int line, uint32_t value) {
    return Spoiled(kind, line) ? value + 1 : value;
}

inline Region& GlobalAt(const void* address) {
    auto p = static_cast<const uint8_t*>(address);
    for (auto& r : machine->global)
        if (p >= r->data && p < r->data + r->size) return *r;
    Fail("no tensor in global memory at the address that a GlobalTensor was given");
}

// ---- instructions

class Instruction {
 public:
    Instruction(pipe_t pipe, const char* name, int line)
        : core_(Me()), pipe_(pipe), name_(name), line_(line), clock_(core_.clock[pipe]) {
        bool onCube = pipe == PIPE_M || pipe == PIPE_MTE1 || pipe == PIPE_FIX;
        bool onVector = pipe == PIPE_V || pipe == PIPE_MTE3;
        Check(!(onCube && !core_.cube) && !(onVector && core_.cube), Where(),
              "this core has no such pipe");
        if (pipe != PIPE_S) Join(clock_, core_.clock[PIPE_S]);
        clock_[core_.actor(PIPE_S)] = core_.tick[PIPE_S];
        ++core_.tick[pipe];
    }
    Core& core() { return core_; }

    std::string Where() const {
        std::ostringstream s;
        s << name_ << " (" << Site(line_) << ", " << (core_.cube ? "cube" : "vector") << " core of block "
          << core_.block << "): ";
        return s.str();
    }
    void Bounds(const Region& r, uint64_t begin, uint64_t bytes, uint64_t end) const {
        Check(begin + bytes <= std::min(end, r.size), Where(), "out of bounds of ", r.name,
              ": bytes ", begin, " to ", begin + bytes, " of ", std::min(end, r.size));
    }
    void Read(const Region& r, uint64_t begin, uint64_t bytes, bool mustBeKnown) {
        if (r.constant || !bytes) return;
        if (mustBeKnown && !r.Known(begin, bytes))
            Fail(Where(), "reads what nobody wrote, ", r.name, " byte ", begin);
        auto& cells = const_cast<Region&>(r).cells;
        for (uint64_t i = begin / r.grain; i <= (begin + bytes - 1) / r.grain; ++i) {
            Cell& c = cells[i];
            Ordered(c.write, r, i, "reads before the end of a write");
            Remember(c, r);
        }
    }
    void Write(Region& r, uint64_t begin, uint64_t bytes, bool atomic = false) {
        if (!bytes) return;
        Check(!r.constant, Where(), "writes to the input ", r.name);
        for (uint64_t i = begin / r.grain; i <= (begin + bytes - 1) / r.grain; ++i) {
            Cell& c = r.cells[i];
            if (!(atomic && c.atomic)) Ordered(c.write, r, i, "writes before the end of a write");
            for (Stamp& s : c.read) {
                Ordered(s, r, i, "writes before the end of a read");
                s = Stamp{};
            }
            c.write = {core_.actor(pipe_), core_.tick[pipe_]};
            c.atomic = atomic;
        }
    }

 private:
    bool Before(const Stamp& s) const {
        if (!s.tick || clock_[s.actor] >= s.tick) return true;
        return s.actor == core_.actor(pipe_) && (pipe_ == PIPE_S || s.tick == core_.tick[pipe_]);
    }
    void Ordered(const Stamp& s, const Region& r, uint64_t cell, const char* what) const {
        if (Before(s)) return;
        static const char* names[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX"};
        Fail(Where(), "synchronisation is missing, ", what, " of pipe ", names[s.actor % PIPES],
             " of core ", s.actor / PIPES, " at ", r.name, " byte ", cell * r.grain);
    }
    void Remember(Cell& c, const Region& r) {
        Stamp now{core_.actor(pipe_), core_.tick[pipe_]};
        for (Stamp& s : c.read)
            if (!s.tick || s.actor == now.actor || Before(s)) {
                s = now;
                return;
            }
        Fail(Where(), "more than two unordered readers of ", r.name);
    }

    Core& core_;
    pipe_t pipe_;
    const char* name_;
    int line_;
    Clock& clock_;
};

inline Clock Finished(pipe_t pipe) {
    Core& c = Me();
    Clock now = c.clock[pipe];
    Join(now, c.clock[PIPE_S]);
    now[c.actor(pipe)] = c.tick[pipe];
    return now;
}

inline void Barrier(pipe_t pipe) {
    Core& c = Me();
    for (uint32_t p = 0; p < PIPES; ++p)
        if (pipe == PIPE_ALL || p == pipe) c.clock[p][c.actor(p)] = c.tick[p];
    if (pipe == PIPE_ALL)
        for (uint32_t p = 1; p < PIPES; ++p) Join(c.clock[PIPE_S], c.clock[p]);
}

// ---- cores as coroutines

inline void Pause() { swapcontext(&Me().context, &machine->main); }

template <class Ready>
inline void WaitUntil(Ready ready) {
    while (!ready()) Pause();
    machine->progress = true;
}

inline void CoreMain() {
    Core& c = Me();
    try {
        machine->kernel();
        Check(c.events.empty(), "an event was set and never waited for, core ", c.index, ", (event, id) ",
              c.events.empty() ? 0 : c.events.begin()->first / 8, ", ",
              c.events.empty() ? 0 : c.events.begin()->first % 8);
        for (uint32_t id = 0; id < CROSS_FLAGS; ++id)
            Check(c.cross[id].empty(), "cross-core flag ", id, " was set and never waited for, core ", c.index);
        Check(!c.atomic, "atomic addition is still on at the end");
    } catch (const std::exception& e) {
        if (machine->failure.empty()) machine->failure = e.what();
    }
    c.done = true;
    machine->progress = true;
    Pause();
}

inline void Launch(uint32_t blocks, std::function<void()> kernel) {
    Machine& m = *machine;
    m.kernel = std::move(kernel);
    m.blocks = blocks;
    static const char* names[] = {"UB", "L1", "L0A", "L0B", "L0C"};
    for (uint32_t b = 0; b < blocks; ++b)
        for (uint32_t k = 0; k < 3; ++k) {
            auto c = std::make_unique<Core>();
            c->index = b * 3 + k, c->block = b, c->cube = k == 0, c->sub = k ? k - 1 : 0;
            for (int p = 0; p < 5; ++p)
                if ((p == 0) != c->cube) c->memory[p].Own(names[p], m.capacity[p], p < 2 ? 32 : 512);
            for (auto& clock : c->clock) clock.assign(blocks * 3 * PIPES, 0);
            c->stack.resize(512 * 1024);
            getcontext(&c->context);
            c->context.uc_stack.ss_sp = c->stack.data();
            c->context.uc_stack.ss_size = c->stack.size();
            makecontext(&c->context, CoreMain, 0);
            m.cores.push_back(std::move(c));
        }
    bool open = true;
    while (open && m.failure.empty()) {
        m.progress = open = false;
        for (auto& c : m.cores) {
            if (c->done) continue;
            m.core = c.get();
            swapcontext(&m.main, &c->context);
            open |= !c->done;
            if (!m.failure.empty()) break;
        }
        if (open && !m.progress && m.failure.empty())
            m.failure = "deadlock: every core waits for a cross-core flag";
    }
}
}  // namespace emu
#endif
