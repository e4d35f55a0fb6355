noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
    %reldir%/base.h %reldir%/busy_poll.h %reldir%/busy_poll.c %reldir%/clock.c %reldir%/error.c %reldir%/frame.c %reldir%/group.c %reldir%/log.c %reldir%/mapping.h %reldir%/mapping.c \
    %reldir%/private_file.c
