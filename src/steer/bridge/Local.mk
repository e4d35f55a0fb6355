noinst_LTLIBRARIES += libbridge.la
libbridge_la_SOURCES = \
    %reldir%/bridge.h %reldir%/bridge_private.h %reldir%/bridge.c \
    %reldir%/answers.c %reldir%/coalesce.c %reldir%/control.c %reldir%/copies.c %reldir%/early.c %reldir%/engines.c %reldir%/gate.c %reldir%/life.c \
    %reldir%/notify.c %reldir%/query.c %reldir%/ranks.c %reldir%/requests.c %reldir%/route.c %reldir%/run.c \
    %reldir%/sockets.h %reldir%/sockets.c
libbridge_la_CFLAGS = $(AM_CFLAGS) $(ZMQ_CFLAGS) $(JANSSON_CFLAGS)
libbridge_la_LIBADD = $(ZMQ_LIBS) $(JANSSON_LIBS)
