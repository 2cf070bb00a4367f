/* A few threads that wait for work, beside torch's own.

Torch's pool cannot be reached without its headers, and a second OpenMP runtime would keep its
threads spinning and hang after a fork. These sleep until they are woken. The caller takes part, so
nothing waits for a thread that is slow to wake; whoever finds the pool in use works alone; and a
forked child starts without threads and makes its own. */
#include "native.h"

#include <fenv.h>

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
}

int prepare_threads(void) { return pthread_atfork(lock, unlock, forget_threads); }
#endif

void in_parallel(void (*run)(void *, int64_t), void *context, int64_t parts, int64_t threads) {
    if (threads > parts) threads = parts;
    if (threads > 1) {
        lock();
        if (!busy) {
            int64_t wanted = threads - 1;
            busy = 1;
            while (workers < wanted && start_worker()) workers++;
            job.run = run;
            job.context = context;
            job.next = 0;
            job.parts = parts;
            job.helpers = wanted;
            fegetenv(&job.environment);
            for (int64_t i = 0; i < wanted; i++) wake(&work);
            take_parts();
            while (job.inside > 0) await(&done);
            busy = 0;
            unlock();
            return;
        }
        unlock();
    }
    for (int64_t part = 0; part < parts; part++) run(context, part);
}
