# All but main: what unit tests link.
noinst_LTLIBRARIES += libcli.la
libcli_la_SOURCES = \
    %reldir%/cli.h %reldir%/answers.c %reldir%/array_item.h %reldir%/array_item.c %reldir%/array_text.c %reldir%/board.h %reldir%/board.c %reldir%/code.c \
    %reldir%/fold.h %reldir%/fold.c %reldir%/interrupt.c %reldir%/job.c %reldir%/lines.h %reldir%/lines.c %reldir%/npy.h %reldir%/npy.c \
    %reldir%/npy_file.c %reldir%/options.c %reldir%/progress.h %reldir%/progress.c %reldir%/pyliteral.h \
    %reldir%/pyliteral.c %reldir%/say.c %reldir%/target.h %reldir%/target.c %reldir%/text.h %reldir%/text.c \
    %reldir%/value.h %reldir%/value.c
libcli_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)

# The compiler is MPI's: nothing of MPI shall be needed where ipp-steer runs.
bin_PROGRAMS += ipp-steer
ipp_steer_SOURCES = \
    %reldir%/complete.c %reldir%/connect.h %reldir%/connect.c %reldir%/lasting.h %reldir%/lasting.c %reldir%/log_tail.h %reldir%/log_tail.c %reldir%/main.c %reldir%/map.h %reldir%/map_show.c \
    %reldir%/mapped.h %reldir%/mapped.c %reldir%/prompt.h %reldir%/prompt.c %reldir%/pulled.h %reldir%/pulled.c %reldir%/script.c %reldir%/show.h \
    %reldir%/verb_code.c %reldir%/verb_control.c %reldir%/verb_data.c %reldir%/verb_events.c %reldir%/verb_invite.c \
    %reldir%/verb_map.c %reldir%/verb_show.c %reldir%/verb_spread.c %reldir%/verb_task.c %reldir%/verb_tasks.c \
    %reldir%/verb_top.c
ipp_steer_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(EDIT_CFLAGS)
ipp_steer_LDFLAGS = $(AM_LDFLAGS) -Wl,--as-needed
ipp_steer_LDADD = libcli.la libippsteer.la libwire.la libbase.la $(EDIT_LIBS) $(JANSSON_LIBS) -lm
dist_man_MANS += docs/man/ipp-steer.1

# Found by bash-completion under the program's name.
bashcompletiondir = $(datadir)/bash-completion/completions
bash_completion_script = %reldir%/ipp-steer.bash
EXTRA_DIST += $(bash_completion_script)
install-data-local: install-bash-completion
uninstall-local: uninstall-bash-completion
.PHONY: install-bash-completion uninstall-bash-completion
install-bash-completion:
	$(MKDIR_P) $(DESTDIR)$(bashcompletiondir)
	$(INSTALL_DATA) $(srcdir)/$(bash_completion_script) $(DESTDIR)$(bashcompletiondir)/ipp-steer
uninstall-bash-completion:
	rm -f $(DESTDIR)$(bashcompletiondir)/ipp-steer
