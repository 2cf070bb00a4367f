/* Threads: torch's own, where they can be had, and else a few that wait for work beside them.

Torch's threads are those of the OpenMP that it has loaded, in GNU's form: they spin for a while
after every operator, and so are awake when a loss follows one, while threads of another pool would
have to be woken, and would find the processor taken. Other OpenMPs cannot be called without a
compiler's help, and OpenMP hangs after a fork; there, threads of our own sleep until they are woken.

Either way the caller takes part, and whoever finds the threads in use works alone. */
#include "native.h"

#include <fenv.h>

#define FEW_PARTS 4 /* with less to do it does not pay to call for others */

#ifdef _WIN32
#include <windows.h>
static SRWLOCK mutex = SRWLOCK_INIT;
static CONDITION_VARIABLE work = CONDITION_VARIABLE_INIT, done = CONDITION_VARIABLE_INIT;
static void lock(void) { AcquireSRWLockExclusive(&mutex); }
static void unlock(void) { ReleaseSRWLockExclusive(&mutex); }
static void await(CONDITION_VARIABLE *what) { SleepConditionVariableSRW(what, &mutex, INFINITE, 0); }
static void wake(CONDITION_VARIABLE *what) { WakeConditionVariable(what); }
#else
#include <pthread.h>
#include <signal.h>
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }
static void await(pthread_cond_t *what) { pthread_cond_wait(what, &mutex); }
static void wake(pthread_cond_t *what) { pthread_cond_signal(what); }
#endif

/* The one job at hand; all of it is read and written under the mutex. */
static struct {
    void (*run)(void *, int64_t);
    void *context;
    int64_t next, parts;
    int64_t helpers, inside; /* how many threads may help, and how many do */
    fenv_t environment;      /* rounding and flushing are as the caller has them */
} job;
static int busy;
static int64_t workers;
static fork_join shared; /* runs a function on torch's threads, or NULL */

static void take_parts(void) {
    while (job.next < job.parts) {
        int64_t part = job.next++;
        unlock();
        job.run(job.context, part);
        lock();
    }
}

static void serve(void) {
    lock();
    for (;;) {
        while (job.next >= job.parts || job.inside >= job.helpers) await(&work);
        job.inside++;
        fesetenv(&job.environment);
        take_parts();
        if (--job.inside == 0) wake(&done);
    }
}

#ifdef _WIN32
static DWORD WINAPI worker(void *unused) {
    (void)unused;
    serve();
    return 0;
}

static int start_worker(void) {
    HANDLE thread = CreateThread(NULL, 1 << 18, worker, NULL, 0, NULL);
    if (thread != NULL) CloseHandle(thread);
    return thread != NULL;
}

int prepare_threads(void) { return 0; }
#else
static void *worker(void *unused) {
    (void)unused;
    serve();
    return NULL;
}

/* Signals go to threads that Python knows. */
static int start_worker(void) {
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    int failed;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 1 << 18);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, &attributes, worker, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return !failed;
}

/* Of the parent's threads only the one that forks is there in the child. */
static void forget_threads(void) {
    pthread_mutex_init(&mutex, NULL);
    pthread_cond_init(&work, NULL);
    pthread_cond_init(&done, NULL);
    job.next = job.parts = job.helpers = job.inside = 0;
    busy = 0;
    workers = 0;
    shared = NULL;
}

int prepare_threads(void) { return pthread_atfork(lock, unlock, forget_threads); }
#endif

static void on_our_threads(void (*run)(void *, int64_t), void *context, int64_t parts,
                           int64_t threads) {
    int64_t helpers = (threads < parts / 2 ? threads : parts / 2) - 1;
    lock();
    while (workers < helpers && start_worker()) workers++;
    job.run = run;
    job.context = context;
    job.next = 0;
    job.parts = parts;
    job.helpers = helpers;
    fegetenv(&job.environment);
    for (int64_t i = 0; i < helpers; i++) wake(&work);
    take_parts();
    while (job.inside > 0) await(&done);
    unlock();
}

#ifdef __GNUC__
typedef struct {
    void (*run)(void *, int64_t);
    void *context;
    int64_t next, parts;
    fenv_t environment;
} team;

static void join_team(void *given) {
    team *ours = given;
    fenv_t before;
    fegetenv(&before);
    fesetenv(&ours->environment);
    for (;;) {
        int64_t part = __atomic_fetch_add(&ours->next, 1, __ATOMIC_RELAXED);
        if (part >= ours->parts) break;
        ours->run(ours->context, part);
    }
    fesetenv(&before);
}

/* All of them, whatever there is to do: OpenMP ends and starts threads if their number changes. */
static void on_shared_threads(fork_join start, void (*run)(void *, int64_t), void *context,
                              int64_t parts, int64_t threads) {
    team ours = {.run = run, .context = context, .next = 0, .parts = parts};
    fegetenv(&ours.environment);
    start(join_team, &ours, (unsigned)threads, 0);
}
#else
#define on_shared_threads(start, run, context, parts, threads)                                    \
    on_our_threads(run, context, parts, threads)
#endif

void share_threads(fork_join start) {
    lock();
    shared = start;
    unlock();
}

void in_parallel(void (*run)(void *, int64_t), void *context, int64_t parts, int64_t threads) {
    fork_join start = NULL;
    int free = 0;
    if (threads > 1 && parts >= FEW_PARTS) {
        lock();
        free = !busy;
        busy = 1;
        start = shared;
        unlock();
    }
    if (!free) {
        for (int64_t part = 0; part < parts; part++) run(context, part);
        return;
    }
    if (start != NULL)
        on_shared_threads(start, run, context, parts, threads);
    else
        on_our_threads(run, context, parts, threads);
    lock();
    busy = 0;
    unlock();
}
