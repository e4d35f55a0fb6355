noinst_LTLIBRARIES += libbridge.la
libbridge_la_SOURCES = \
    %reldir%/bridge.h %reldir%/bridge_private.h %reldir%/bridge.c \
    %reldir%/access.c %reldir%/answers.c %reldir%/attach.c %reldir%/audit.c %reldir%/coalesce.c %reldir%/control.c %reldir%/copies.c %reldir%/early.c %reldir%/ended.c %reldir%/engines.c %reldir%/explain.c %reldir%/feed.c %reldir%/gate.c %reldir%/life.c %reldir%/memory.c \
    %reldir%/notify.c %reldir%/publish.c %reldir%/query.c %reldir%/ranks.c %reldir%/requests.c %reldir%/route.c %reldir%/run.c %reldir%/run_set.c %reldir%/run_task.c %reldir%/session.h %reldir%/session.c \
    %reldir%/sockets.h %reldir%/sockets.c %reldir%/steer_route.c %reldir%/targets.c %reldir%/transfers.c
libbridge_la_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS) $(JANSSON_CFLAGS)
libbridge_la_LIBADD = $(ZMQ_LIBS) $(JANSSON_LIBS)
