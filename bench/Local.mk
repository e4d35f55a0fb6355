# bench/run measures us beside ipyparallel, with replay as a client that costs little, and beside
# what raw_pair shows of ZeroMQ alone; sched_bench measures the scheduler alone, c_tasks the tasks of
# an application.
noinst_PROGRAMS = bench/replay bench/raw_pair bench/c_tasks
bench_c_tasks_SOURCES = %reldir%/c_tasks.c
bench_c_tasks_LDADD = libippmpi.la -lm
bench_raw_pair_SOURCES = %reldir%/raw_pair.c
bench_raw_pair_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS)
bench_raw_pair_LDADD = $(ZMQ_LIBS)
bench_replay_SOURCES = %reldir%/replay.c %reldir%/stamps.h
bench_replay_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS)
bench_replay_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
bench_replay_LDADD = $(ZMQ_LIBS)
# A folder that nothing is installed to makes libtool build it shared.
noinst_LTLIBRARIES += bench/stamps.la
bench_stamps_la_SOURCES = %reldir%/stamps.c %reldir%/stamps.h
bench_stamps_la_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS) -fvisibility=default
bench_stamps_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)
bench_stamps_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere
bench_stamps_la_LIBADD = $(ZMQ_LIBS)
noinst_PROGRAMS += bench/sched_bench
bench_sched_bench_SOURCES = %reldir%/sched_bench.c
bench_sched_bench_LDADD = libsched.la
EXTRA_DIST += \
    %reldir%/run \
    %reldir%/ippmpi_bench/__init__.py \
    %reldir%/ippmpi_bench/bulk.py \
    %reldir%/ippmpi_bench/c_tasks.py \
    %reldir%/ippmpi_bench/calls.py \
    %reldir%/ippmpi_bench/footprint.py \
    %reldir%/ippmpi_bench/futures_worker.py \
    %reldir%/ippmpi_bench/main.py \
    %reldir%/ippmpi_bench/scaling.py \
    %reldir%/ippmpi_bench/sides.py \
    %reldir%/ippmpi_bench/steer_worker.py \
    %reldir%/ippmpi_bench/steering.py \
    %reldir%/ippmpi_bench/table.py

# Rank 1's loop and the scheduler with simulated engines: bench/scale/run.
scale_sources = %reldir%/scale/scale.c %reldir%/scale/sim_link.c %reldir%/scale/scale.h
EXTRA_DIST += %reldir%/scale/run $(scale_sources)
if HAVE_SMPI
noinst_DATA = bench/scale/scale
bench/scale/scale: $(scale_sources) $(libsched_la_SOURCES) $(libbalancer_la_SOURCES) src/link/batch.c src/link/wide.c src/link/link.h \
    src/base/base.h src/base/busy_poll.c src/base/frame.c src/base/log.c src/base/mapping.c
	$(AM_V_at)$(MKDIR_P) bench/scale
	$(AM_V_CCLD)sources=; for file in $^; do case $$file in *.c) sources="$$sources $$file";; esac; done; \
	    $(SMPICC) -std=gnu11 -O2 -Wall -Wextra $(AM_CPPFLAGS) -I$(srcdir)/bench/scale $$sources -o $@ -lm
CLEANFILES += bench/scale/scale
endif
