# SPDX-License-Identifier: ISC
#
# make, make check, make install, make demo, make clean; see CONTRIBUTING.md for the rest.
# O=DIR builds elsewhere, V=1 shows the commands, LIBC=musl or LIBC=system chooses the relay's libc.

O        ?= build
PREFIX   ?= /usr/local
SYSCONFDIR    ?= /etc
LOCALSTATEDIR ?= /var
MANDIR   ?= $(PREFIX)/share/man
UNITDIR  ?= $(PREFIX)/lib/systemd/system
GENERATORDIR ?= /usr/lib/systemd/system-generators
SYSUSERSDIR  ?= $(PREFIX)/lib/sysusers.d
SBINDIR   = $(PREFIX)/sbin
LIBEXECDIR = $(PREFIX)/libexec
DATADIR   = $(PREFIX)/share/rinetd-relay

CC      ?= cc
CFLAGS  ?= -O2 -g
INSTALL ?= install
VERSION := $(shell cat VERSION)

# The relay is started for every connection, and a static musl program starts fastest.
ifeq ($(LIBC),)
LIBC := $(if $(SANITIZE),system,$(if $(shell command -v musl-gcc 2>/dev/null),musl,system))
endif
ifeq ($(filter $(LIBC),musl system),)
$(error LIBC is "$(LIBC)", expected musl or system)
endif

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -Wformat=2 -Wcast-qual -Wwrite-strings -Wundef $(if $(WERROR),-Werror)
HARDENING = -fstack-protector-strong -fPIE $(if $(SANITIZE),,-fstack-clash-protection \
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
HARDENING_LD = -pie -Wl,-z,relro -Wl,-z,now
SANITIZER = $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer)

OUR_CPPFLAGS = -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -DRELAY_PATH='"$(LIBEXECDIR)/rinetd-relay"' \
	-DCONFIG_PATH='"$(SYSCONFDIR)/rinetd.conf"' -DXINETD_CONF_PATH='"$(SYSCONFDIR)/xinetd.conf"' \
	-DSYSUSERS_PATH='"$(SYSUSERSDIR)/rinetd-relay.conf"' -I. -I$(O)
OUR_CFLAGS   = -std=gnu11 -pthread $(WARNINGS) $(HARDENING) $(SANITIZER)
OUR_LDFLAGS  = -pthread $(HARDENING_LD) $(SANITIZER)

# musl-gcc does not know -static-pie, and clang knows no musl: the start files are named here where
# they are found. Loading a static program at a random address costs 4 us a start.
MUSL_LIB := $(patsubst %/rcrt1.o,%,$(firstword $(wildcard /usr/lib/*-linux-musl/rcrt1.o \
	/usr/lib/musl/lib/rcrt1.o /usr/local/musl/lib/rcrt1.o)))
MUSL_INCLUDE := $(wildcard /usr/include/$(notdir $(MUSL_LIB))/stdio.h)
gcc_file = $(shell $(RELAY_CC) -print-file-name=$(1))

ifeq ($(LIBC),system)
RELAY_CC ?= $(CC)
RELAY_CFLAGS  = $(OUR_CFLAGS)
RELAY_LDFLAGS = $(OUR_LDFLAGS)
else ifeq ($(MUSL_LIB),)
RELAY_CC ?= musl-gcc
RELAY_CFLAGS  = $(filter-out -fPIE,$(OUR_CFLAGS)) -fno-pie
RELAY_LDFLAGS = -static -no-pie $(filter-out -pie,$(OUR_LDFLAGS))
else
ifneq ($(and $(findstring clang,$(CC)),$(MUSL_INCLUDE)),)
RELAY_CC ?= $(CC)
# Clang blames the user for the casts in musl's macros.
RELAY_CFLAGS  = $(OUR_CFLAGS) -Wno-cast-qual -nostdlibinc -isystem $(dir $(MUSL_INCLUDE))
RELAY_LIBS    = -nostdlib -L$(MUSL_LIB) -lc $(shell $(RELAY_CC) -print-libgcc-file-name)
else
RELAY_CC ?= musl-gcc
RELAY_CFLAGS  = $(OUR_CFLAGS)
endif
# The fewer mappings and pages a program has, the faster it starts: one mapping is for all that is only
# read. Nothing of musl's static start files makes relro read-only, so it would be a page for nothing.
RELAY_LDFLAGS = $(filter-out -pie -pthread,$(OUR_LDFLAGS)) -nostartfiles -static \
	-Wl,-z,noseparate-code,-z,norelro \
	-Wl,-pie,--no-dynamic-linker,-z,text $(MUSL_LIB)/rcrt1.o $(MUSL_LIB)/crti.o \
	$(call gcc_file,crtbeginS.o)
RELAY_END     = $(RELAY_LIBS) $(call gcc_file,crtendS.o) $(MUSL_LIB)/crtn.o
endif

SHARED     = host acl options
RELAY_OBJS = $(addprefix $(O)/relay/,$(addsuffix .o,relay show arguments list pool worker board udp opening \
	flow sessions datagrams burst stock dialler guard mixed dial pump pipe clock log journal report syslogd \
	$(SHARED)))
GEN_OBJS   = $(addprefix $(O)/obj/,$(addsuffix .o,rinetd-gen conf check site entries aclfile emit unit text \
	explain ranges list logfile generator apply hangup systemd command launch children lines source output \
	templates $(SHARED)))
WRAP_OBJS  = $(addprefix $(O)/obj/,wrap.o report.o syslogd.o)
PROGRAMS   = $(addprefix $(O)/,rinetd-relay rinetd-gen rinetd-wrap)
TEMPLATES  = $(sort $(wildcard templates/*))
MANUALS    = rinetd-gen.8 rinetd-relay.8 rinetd-wrap.8 rinetd.conf.5

# Each unit test links its own module and what lies under that, and nothing else.
UNIT_TESTS = host acl list options arguments dial board pool sessions burst stock flow udp pump mixed guard \
	journal log conf unit emit output command
UNIT_BINS  = $(UNIT_TESTS:%=$(O)/test/unit/%_test)
unit_objs  = $(addprefix $(O)/obj/,$(addsuffix .o,$(1)))
UNIT_host    = $(call unit_objs,host)
UNIT_acl     = $(call unit_objs,acl host)
UNIT_list    = $(call unit_objs,list ranges text acl host)
UNIT_options = $(call unit_objs,options acl host)
UNIT_journal = $(call unit_objs,journal)
UNIT_log     = $(call unit_objs,log journal syslogd)
UNIT_conf    = $(call unit_objs,conf $(SHARED))
UNIT_arguments = $(call unit_objs,arguments $(SHARED))
UNIT_dial    = $(call unit_objs,dial clock host)
UNIT_board   = $(call unit_objs,board host)
UNIT_pool    = $(call unit_objs,pool worker board host)
UNIT_sessions = $(call unit_objs,sessions)
UNIT_pump    = $(call unit_objs,pump pipe clock)
UNIT_mixed   = $(call unit_objs,mixed clock)
UNIT_burst   = $(call unit_objs,burst)
UNIT_stock   = $(call unit_objs,stock)
UNIT_flow    = $(call unit_objs,flow datagrams burst sessions stock host)
UNIT_udp     = $(call unit_objs,udp opening flow dialler guard datagrams burst sessions stock dial \
	clock host)
UNIT_guard   = $(call unit_objs,guard host)
UNIT_unit    = $(call unit_objs,unit text)
UNIT_emit    = $(call unit_objs,emit unit text templates conf $(SHARED))
UNIT_output  = $(call unit_objs,output source)
UNIT_command = $(call unit_objs,command)

FUZZERS     = conf acl emit lists
REPLAYS     = $(FUZZERS:%=$(O)/test/fuzz/%_replay)
FUZZ_conf   = conf $(SHARED)
FUZZ_acl    = acl host
FUZZ_emit   = emit unit text templates conf $(SHARED)
FUZZ_lists  = list ranges text acl host
FUZZ_SECONDS ?= 300

comma := ,
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

all: $(PROGRAMS)

$(O)/rinetd-relay: $(RELAY_OBJS)
	$(call say,LD,$@)
	$(Q)$(RELAY_CC) $(CFLAGS) $(RELAY_LDFLAGS) $(LDFLAGS) -o $@ $^ $(RELAY_END)

$(O)/rinetd-gen: $(GEN_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $^

$(O)/rinetd-wrap: $(WRAP_OBJS)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $^ -lwrap

$(O)/relay/%.o: %.c $(O)/flags
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(RELAY_CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(RELAY_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/obj/%.o: %.c $(O)/flags
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/obj/templates.o: $(O)/templates.c $(O)/flags
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(OUR_CPPFLAGS) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A template becomes the string that C knows it by: one literal a line.
$(O)/templates.c: $(TEMPLATES) Makefile
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D)
	$(Q){ echo '#include "emit.h"'; echo; \
	  echo 'const struct emit_template emit_templates[] = {'; \
	  for t in $(TEMPLATES); do \
	    printf '    {"%s",\n' "$${t##*/}"; \
	    sed -e 's/[\\"]/\\&/g' -e 's/	/\\t/g' -e 's/^/     "/' -e 's/$$/\\n"/' "$$t"; \
	    echo '    },'; \
	  done; echo '    {NULL, NULL},'; echo '};'; } > $@.new
	$(Q)mv $@.new $@

# Changes only when the flags do, so that another CC or CFLAGS builds everything anew.
FLAGS_NOW = $(CC) $(RELAY_CC) $(CPPFLAGS) $(OUR_CPPFLAGS) $(CFLAGS) $(OUR_CFLAGS) $(RELAY_CFLAGS) \
	$(LDFLAGS) $(RELAY_LDFLAGS)
$(O)/flags: force
	$(Q)mkdir -p $(@D)
	$(Q)printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || \
	  printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' > $@

$(O)/test/unit/%_test: $(O)/obj/test/unit/%_test.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(OUR_LDFLAGS) $(UNIT_LDFLAGS) $(LDFLAGS) -o $@ $^

# System calls that this one replaces.
$(O)/test/unit/pool_test: UNIT_LDFLAGS = $(addprefix -Wl$(comma)--wrap=,accept4 clock_gettime \
	epoll_pwait eventfd kill prctl)
$(O)/test/unit/pump_test: UNIT_LDFLAGS = $(addprefix -Wl$(comma)--wrap=,clock_gettime fcntl pipe2 \
	splice)
$(O)/test/unit/mixed_test: UNIT_LDFLAGS = $(addprefix -Wl$(comma)--wrap=,ppoll recv send)
$(O)/test/unit/dial_test: UNIT_LDFLAGS = -Wl,--wrap=connect
$(O)/test/unit/flow_test: UNIT_LDFLAGS = -Wl,--wrap=send
$(O)/test/unit/udp_test: UNIT_LDFLAGS = $(addprefix -Wl$(comma)--wrap=,getsockopt recvmmsg)

$(foreach t,$(UNIT_TESTS),$(eval $(O)/test/unit/$(t)_test: $(UNIT_$(t))))

$(O)/test/fuzz/%_replay: $(O)/obj/test/fuzz/fuzz_%.o $(O)/obj/test/fuzz/replay.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $^

$(foreach f,$(FUZZERS),$(eval $(O)/test/fuzz/$(f)_replay: $(call unit_objs,$(FUZZ_$(f)))))

$(O)/peer $(O)/datagram: $(O)/%: $(O)/obj/test/%.o
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $^

test-programs: all $(O)/peer $(O)/datagram $(UNIT_BINS) $(REPLAYS) bench-tools

check: test-programs
	$(Q)BUILD='$(abspath $(O))' test/run $(TESTS)

golden-update: all
	$(Q)BUILD='$(abspath $(O))' test/golden.sh --update

# Needs clang. Looks for new inputs for FUZZ_SECONDS each, starting from the corpus in the tree.
fuzz:
	$(Q)for f in $(FUZZERS); do $(MAKE) fuzz-$$f || exit 1; done

fuzz-%: $(O)/templates.c
	$(Q)mkdir -p $(O)/fuzz/$*
	$(Q)clang -g -O1 $(OUR_CPPFLAGS) -std=gnu11 $(WARNINGS) -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=undefined -o $(O)/fuzz/fuzz_$* test/fuzz/fuzz_$*.c \
	  $(patsubst templates.c,$(O)/templates.c,$(addsuffix .c,$(FUZZ_$*)))
	$(Q)$(O)/fuzz/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 \
	  -print_final_stats=1 -artifact_prefix=$(O)/fuzz/$*- \
	  $(if $(wildcard test/fuzz/$*.dict),-dict=test/fuzz/$*.dict) $(O)/fuzz/$* test/fuzz/corpus/$*

demo: all $(O)/peer
	$(Q)BUILD='$(abspath $(O))' examples/demo

# The benchmark: its own load generator and target, and what it measures the relay against.
BENCH_TOOLS    = $(addprefix $(O)/bench/,load serve accept start without-pipes \
                   udp-load udp-serve udp-wait)

$(BENCH_TOOLS): $(O)/bench/%: $(O)/obj/bench/%.o $(O)/obj/bench/stream.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS) -o $@ $^

$(addprefix $(O)/bench/,udp-load udp-serve): $(O)/obj/bench/datagram.o

$(O)/bench/noop: $(O)/relay/bench/noop.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(RELAY_CC) $(CFLAGS) $(RELAY_LDFLAGS) $(LDFLAGS) -o $@ $^ $(RELAY_END)

$(O)/bench/system/rinetd-relay: force
	$(Q)$(MAKE) --no-print-directory O=$(@D) LIBC=system $@

bench-tools: $(BENCH_TOOLS) $(O)/bench/noop

bench-programs: all bench-tools $(O)/bench/system/rinetd-relay

# QUICK=1: two minutes; SECTIONS="start-up down": some of them.
bench: bench-programs
	$(Q)BUILD='$(abspath $(O))' QUICK='$(QUICK)' SECTIONS='$(SECTIONS)' CONTENDERS='$(CONTENDERS)' \
	  bench/run

lint:
	$(Q)clang-format --dry-run -Werror *.c *.h bench/*.[ch] test/*.c test/unit/*.[ch] test/fuzz/*.c
	$(Q)shellcheck deps.sh examples/demo test/run test/with-systemd test/*.sh test/*.bash .ci/run
	$(Q)shellcheck -x bench/run
	$(Q)for b in test/*.bats; do shellcheck -s bash -e SC2317 "$$b" || exit 1; done
	$(Q)cd man && mandoc -Tlint -Wstyle $(MANUALS)

install: all
	$(INSTALL) -d '$(DESTDIR)$(SBINDIR)' '$(DESTDIR)$(LIBEXECDIR)' '$(DESTDIR)$(DATADIR)/templates' \
	  '$(DESTDIR)$(DATADIR)/examples' '$(DESTDIR)$(MANDIR)/man8' '$(DESTDIR)$(MANDIR)/man5' \
	  '$(DESTDIR)$(SYSUSERSDIR)'
	$(INSTALL) -m 755 $(O)/rinetd-gen '$(DESTDIR)$(SBINDIR)'
	$(INSTALL) -m 755 $(O)/rinetd-relay $(O)/rinetd-wrap '$(DESTDIR)$(LIBEXECDIR)'
	$(INSTALL) -m 644 $(TEMPLATES) '$(DESTDIR)$(DATADIR)/templates'
	$(INSTALL) -m 644 sysusers/rinetd-relay.conf '$(DESTDIR)$(SYSUSERSDIR)'
	$(INSTALL) -m 644 examples/rinetd.conf '$(DESTDIR)$(DATADIR)/examples'
	sed 's|/var/log|$(LOCALSTATEDIR)/log|' examples/logrotate > \
	  '$(DESTDIR)$(DATADIR)/examples/logrotate'
	chmod 644 '$(DESTDIR)$(DATADIR)/examples/logrotate'
	for m in $(filter %.8,$(MANUALS)); do \
	  $(INSTALL) -m 644 man/$$m '$(DESTDIR)$(MANDIR)/man8' || exit 1; done
	for m in $(filter %.5,$(MANUALS)); do \
	  $(INSTALL) -m 644 man/$$m '$(DESTDIR)$(MANDIR)/man5' || exit 1; done

# For those who want units of /etc/rinetd.conf at each boot and daemon-reload, without running anything.
install-generator: install
	$(INSTALL) -d '$(DESTDIR)$(GENERATORDIR)'
	ln -sf '$(SBINDIR)/rinetd-gen' '$(DESTDIR)$(GENERATORDIR)/rinetd-generator'

clean:
	rm -rf $(O)

force:
.PHONY: all check test-programs golden-update fuzz demo bench-tools bench-programs bench lint install install-generator clean force
.DELETE_ON_ERROR:
.SECONDARY:

-include $(shell find $(O) -name '*.d' -type f 2>/dev/null)
