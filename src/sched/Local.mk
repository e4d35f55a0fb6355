noinst_LTLIBRARIES += libsched.la
libsched_la_SOURCES = \
    %reldir%/sched.h %reldir%/sched_lane.h %reldir%/sched_policy.h %reldir%/sched_task.h \
    %reldir%/sched_flow.h %reldir%/sched_private.h %reldir%/engines.c %reldir%/explain.c \
    %reldir%/fleet.c %reldir%/flows.c %reldir%/gang.c %reldir%/lanes.c %reldir%/needs.c \
    %reldir%/offers.c %reldir%/policy.c %reldir%/sched.c \
    %reldir%/table.c %reldir%/tasks.c

# The loop of rank 1 around it needs the link; the library above needs nothing.
noinst_LTLIBRARIES += libbalancer.la
libbalancer_la_SOURCES = \
    %reldir%/balancer.h %reldir%/balancer_private.h %reldir%/balancer.c %reldir%/batches.c \
    %reldir%/wants.c
