noinst_LTLIBRARIES += libwire.la
libwire_la_SOURCES = \
    %reldir%/wire.h %reldir%/ops.def \
    %reldir%/connection.c %reldir%/connection_path.c \
    %reldir%/head.c %reldir%/header.c %reldir%/json.c %reldir%/message.c \
    %reldir%/ops.c %reldir%/sign.c %reldir%/sign.h %reldir%/socket.c
libwire_la_CFLAGS = $(AM_CFLAGS) -pthread $(JANSSON_CFLAGS) $(SODIUM_CFLAGS) $(ZMQ_CFLAGS)
libwire_la_LIBADD = $(JANSSON_LIBS) $(SODIUM_LIBS) $(ZMQ_LIBS) -lpthread
