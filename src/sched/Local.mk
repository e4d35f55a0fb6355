noinst_LTLIBRARIES += libsched.la
libsched_la_SOURCES = \
    %reldir%/sched.h %reldir%/sched_lane.h %reldir%/sched_policy.h %reldir%/sched_task.h \
    %reldir%/fleet.c %reldir%/lanes.c %reldir%/offers.c %reldir%/policy.c %reldir%/sched.c \
    %reldir%/table.c %reldir%/tasks.c

# The loop of rank 1 around it needs the link; the library above needs nothing.
noinst_LTLIBRARIES += libbalancer.la
libbalancer_la_SOURCES = \
    %reldir%/balancer.h %reldir%/balancer_private.h %reldir%/balancer.c %reldir%/batches.c
