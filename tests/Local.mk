# Three floors: unit (no MPI, no sockets), mpi (a few ranks), system (whole clusters).
if HAVE_CHECK
unit_tests = \
    tests/unit/test_base tests/unit/test_batch tests/unit/test_bridge tests/unit/test_cancels tests/unit/test_connection \
    tests/unit/test_placement \
    tests/unit/test_partials tests/unit/test_private_file tests/unit/test_sched tests/unit/test_sched_model \
    tests/unit/test_sched_wants \
    tests/unit/test_steer tests/unit/test_transfers tests/unit/test_where tests/unit/test_wire
unit_tests += tests/unit/test_npy tests/unit/test_steer_cli
mpi_programs = tests/mpi/test_link tests/mpi/test_death tests/mpi/test_tasks
mpi_tests = tests/mpi/link.test tests/mpi/death.test tests/mpi/tasks.test
check_PROGRAMS += $(unit_tests) $(mpi_programs)
TESTS += $(unit_tests)

check_LTLIBRARIES = libunit.la
libunit_la_SOURCES = %reldir%/unit/unit.h %reldir%/unit/unit.c
libunit_la_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
libunit_la_LIBADD = $(CHECK_LIBS)

tests_unit_test_base_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_base_LDADD = libbase.la libunit.la
tests_unit_test_batch_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_batch_LDADD = liblink.la libbase.la libunit.la
tests_unit_test_connection_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_connection_LDADD = libwire.la libbase.la libunit.la $(JANSSON_LIBS)
tests_unit_test_placement_CFLAGS = $(AM_CFLAGS) $(HWLOC_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_placement_LDADD = libplacement.la libunit.la $(HWLOC_LIBS)
tests_unit_test_partials_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_partials_LDADD = libstores.la libbase.la libunit.la
tests_unit_test_private_file_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_private_file_LDADD = libbase.la libunit.la
tests_unit_test_sched_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_sched_LDADD = libsched.la libunit.la
tests_unit_test_sched_model_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_sched_model_LDADD = libsched.la libunit.la
tests_unit_test_sched_wants_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_sched_wants_LDADD = libsched.la libunit.la
tests_unit_test_cancels_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_cancels_LDADD = libstores.la libbase.la libunit.la
tests_unit_test_transfers_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_transfers_LDADD = libstores.la libbase.la libunit.la
tests_unit_test_wire_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_wire_LDADD = libwire.la libbase.la libunit.la $(JANSSON_LIBS)
tests_unit_test_bridge_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_bridge_LDADD = libbridge.la libwire.la libbase.la libunit.la $(JANSSON_LIBS)
tests_unit_test_steer_SOURCES = \
    %reldir%/unit/fake_bridge.h %reldir%/unit/fake_bridge.c %reldir%/unit/test_steer.c
tests_unit_test_steer_CFLAGS = $(AM_CFLAGS) -pthread $(JANSSON_CFLAGS) $(ZMQ_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_steer_LDADD = libclient.la libwire.la libbase.la libunit.la $(JANSSON_LIBS) $(NETTLE_LIBS) \
    $(ZMQ_LIBS) -lpthread
tests_unit_test_where_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_where_LDADD = libclient.la libwire.la libbase.la libunit.la $(JANSSON_LIBS) $(NETTLE_LIBS) $(ZMQ_LIBS)
tests_mpi_test_link_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_mpi_test_link_LDADD = liblink.la libbase.la $(CHECK_LIBS)
tests_mpi_test_death_LDADD = liblink.la libbase.la
tests_mpi_test_tasks_LDADD = libippmpi.la
tests_unit_test_npy_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_npy_LDADD = libcli.la libwire.la libbase.la libunit.la $(JANSSON_LIBS) -lm
tests_unit_test_steer_cli_SOURCES = \
    %reldir%/unit/fake_bridge.h %reldir%/unit/fake_bridge.c %reldir%/unit/test_steer_cli.c
tests_unit_test_steer_cli_CFLAGS = $(AM_CFLAGS) -pthread $(JANSSON_CFLAGS) $(ZMQ_CFLAGS) $(CHECK_CFLAGS)
tests_unit_test_steer_cli_LDADD = libcli.la libippsteer.la libwire.la libbase.la libunit.la $(JANSSON_LIBS) $(NETTLE_LIBS) \
    $(ZMQ_LIBS) -lm -lpthread
endif

check_PROGRAMS += tests/fuzz/replay_wire
tests_fuzz_replay_wire_SOURCES = %reldir%/fuzz/fuzz_wire.c %reldir%/fuzz/replay.c
tests_fuzz_replay_wire_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_replay_wire_LDADD = libwire.la libbase.la $(JANSSON_LIBS)
check_PROGRAMS += tests/fuzz/replay_npy
tests_fuzz_replay_npy_SOURCES = %reldir%/fuzz/fuzz_npy.c %reldir%/fuzz/replay.c
tests_fuzz_replay_npy_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_fuzz_replay_npy_LDADD = libcli.la libwire.la libbase.la $(JANSSON_LIBS) -lm
dist_check_SCRIPTS = tests/fuzz/replay_wire.test tests/fuzz/replay_npy.test
TESTS += tests/fuzz/replay_wire.test tests/fuzz/replay_npy.test
EXTRA_DIST += %reldir%/fuzz/corpus_npy
EXTRA_DIST += %reldir%/fuzz/seed_wire.py %reldir%/fuzz/corpus_wire %reldir%/golden docs/protocol.md

# Its programs are small, and run whenever anything is checked.
dist_check_SCRIPTS += tests/mpi/examples.test tests/mpi/scale.test
TESTS += tests/mpi/examples.test tests/mpi/scale.test
AM_TESTS_ENVIRONMENT = MPIRUN='$(MPIRUN)'; MPI_FLAVOUR='$(MPI_FLAVOUR)'; export MPIRUN MPI_FLAVOUR;

dist_check_SCRIPTS += tests/mpi/link.test tests/mpi/death.test tests/mpi/tasks.test
EXTRA_DIST += %reldir%/system %reldir%/lsan.supp %reldir%/valgrind.supp

# The bigger floors, by name. Each is one run of the same test driver or of pytest.
.PHONY: check-mpi check-system check-sanitize check-valgrind

check-mpi: $(check_PROGRAMS)
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(mpi_tests)' \
	    AM_TESTS_ENVIRONMENT='MPIRUN=$(MPIRUN); MPI_FLAVOUR=$(MPI_FLAVOUR); export MPIRUN MPI_FLAVOUR;'

# Clusters mostly wait, so files of tests run side by side where pytest can do that.
SYSTEM_TEST_JOBS = 4
check-system: all
	side_by_side=`$(PYTHON3) -c 'import xdist' 2>/dev/null && echo '-n $(SYSTEM_TEST_JOBS) --dist loadfile'`; \
	BUILD_DIR=$(abs_top_builddir) IPP_TEST_MPI=$(MPI_FLAVOUR) IPPMPI_PYTHON=$(abs_top_srcdir)/python \
	    $(PYTHON3) -B -m pytest -q -W ignore $$side_by_side $(abs_top_srcdir)/tests/system

# In a build tree of --enable-sanitizers.
check-sanitize: $(check_PROGRAMS)
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(unit_tests) tests/fuzz/replay_wire.test tests/fuzz/replay_npy.test $(mpi_tests)' \
	    AM_TESTS_ENVIRONMENT='MPIRUN=$(MPIRUN); MPI_FLAVOUR=$(MPI_FLAVOUR); LSAN_OPTIONS=suppressions=$(abs_top_srcdir)/tests/lsan.supp:print_suppressions=0; export MPIRUN MPI_FLAVOUR LSAN_OPTIONS;'

check-valgrind: $(check_PROGRAMS)
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(unit_tests)' \
	    AM_TESTS_ENVIRONMENT='IPP_TEST_EVENTS=20000; IPP_TEST_PERCENT=10; CK_FORK=no; export IPP_TEST_EVENTS IPP_TEST_PERCENT CK_FORK;' \
	    LOG_COMPILER='$(LIBTOOL) --mode=execute valgrind -q --error-exitcode=1 --leak-check=full --errors-for-leak-kinds=definite --suppressions=$(srcdir)/tests/valgrind.supp'

# New inputs are kept in the build tree and start the next run; what fails is written to tests/fuzz/wire-*.
FUZZ_SECONDS = 60
fuzz_compile = sources=; for file in $^; do case $$file in *.c) sources="$$sources $$file";; esac; done; \
	    $(FUZZ_CC) -g -O1 -std=c11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	    $(DEFS) $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(NETTLE_CFLAGS) $(ZMQ_CFLAGS) $$sources \
	    -o $@ $(JANSSON_LIBS) $(NETTLE_LIBS) $(ZMQ_LIBS) -lpthread -lm
.PHONY: fuzz
if HAVE_FUZZER
tests/fuzz/fuzz_wire: tests/fuzz/fuzz_wire.c $(libwire_la_SOURCES) $(libbase_la_SOURCES)
	$(AM_V_at)$(MKDIR_P) tests/fuzz
	$(AM_V_CCLD)$(fuzz_compile)
tests/fuzz/fuzz_npy: tests/fuzz/fuzz_npy.c $(libcli_la_SOURCES) $(libclient_la_SOURCES) $(libwire_la_SOURCES) $(libbase_la_SOURCES)
	$(AM_V_at)$(MKDIR_P) tests/fuzz
	$(AM_V_CCLD)$(fuzz_compile)
CLEANFILES += tests/fuzz/fuzz_wire tests/fuzz/fuzz_npy
fuzz: tests/fuzz/fuzz_wire tests/fuzz/fuzz_npy
	$(MKDIR_P) tests/fuzz/found_npy
	tests/fuzz/fuzz_npy -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -artifact_prefix=tests/fuzz/npy- \
	    tests/fuzz/found_npy $(srcdir)/tests/fuzz/corpus_npy
	$(MKDIR_P) tests/fuzz/found_wire
	tests/fuzz/fuzz_wire -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -artifact_prefix=tests/fuzz/wire- \
	    tests/fuzz/found_wire $(srcdir)/tests/fuzz/corpus_wire
distclean-local:
	rm -rf tests/fuzz/found_wire tests/fuzz/wire-* tests/fuzz/found_npy tests/fuzz/npy-*
else
fuzz:
	@echo 'make fuzz wants a clang with libFuzzer: install it (Debian: clang libclang-rt-dev), or name it as FUZZ_CC,' \
	    'and configure again' >&2
	@exit 1
endif

include %reldir%/lint/Local.mk
