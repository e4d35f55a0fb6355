/* SPDX-License-Identifier: BSD-3-Clause
 * What an owner wants to find later, in the log and among the events: who was invited, sent away,
 * refused, or denied what an invitation does not allow. */
#include <stdio.h>
#include <string.h>

#include "steer/bridge/bridge_private.h"

/* Clients try again by themselves: one line a while for one of them, and a few for all. */
#define REFUSED_QUIET_MS 60000
#define DENIED_QUIET_MS 600000

/* NULL, which json_pack leaves out, when it is not known. */
static const char *known(const char *address)
{
    return address[0] ? address : NULL;
}

static const struct guest *guest_of(struct bridge *b, const struct origin *from)
{
    return access_find(&b->access, from->session->key);
}

/* ---- invitations ---- */

void audit_invited(struct bridge *b, const struct origin *from, const struct guest *guest)
{
    const struct guest *by = guest_of(b, from);
    const char *role = wire_role_name(guest->role), *address = from->session->address;
    ipp_log(IPP_LOG_NOTICE, "%s (%s) invited %s as %s%s%s", by->name, address, guest->name, role,
            guest->expires[0] ? " until " : "", guest->expires);
    feed_event(b, "invited", false,
               json_pack("{s:s, s:s, s:s, s:s*}", "name", guest->name, "role", role, "by", by->name,
                         "address", known(address)));
}

void audit_revoked(struct bridge *b, const struct origin *from, const struct guest *guest)
{
    const struct guest *by = guest_of(b, from);
    const char *role = wire_role_name(guest->role), *address = from->session->address;
    ipp_log(IPP_LOG_NOTICE, "%s (%s) revoked the invitation of %s (%s)", by->name, address,
            guest->name, role);
    feed_event(b, "revoked", false,
               json_pack("{s:s, s:s, s:s, s:s*}", "name", guest->name, "role", role, "by", by->name,
                         "address", known(address)));
}

/* ---- refusals ---- */

static const char *const reasons[] = { [AUDIT_UNKNOWN] = "unknown key",
                                       [AUDIT_REVOKED] = "revoked",
                                       [AUDIT_EXPIRED] = "expired",
                                       [AUDIT_INTRUDER] = "session of another key" };

/* The one that this is told under: its own, or the one that was told longest ago. */
static struct refusal *slot_of(struct access *access, const struct refusal *wanted)
{
    struct refusal *oldest = access->refusals;
    for (struct refusal *r = oldest; r < access->refusals + REFUSALS_TOLD; r++) {
        if (r->told_ms && r->why == wanted->why && strcmp(r->address, wanted->address) == 0 &&
            strcmp(r->name, wanted->name) == 0)
            return r;
        if (r->told_ms < oldest->told_ms)
            oldest = r;
    }
    return oldest;
}

/* False when it is only counted; else *more is how many were since something was told. */
static bool may_tell(struct access *access, const struct refusal *refusal, unsigned *more)
{
    struct refusal *slot = slot_of(access, refusal);
    if (slot->told_ms && refusal->told_ms - slot->told_ms < REFUSED_QUIET_MS) {
        access->refused_untold++;
        return false;
    }
    *slot = *refusal;
    *more = access->refused_untold;
    access->refused_untold = 0;
    return true;
}

static void log_refusal(const struct refusal *r, const struct guest *who, unsigned more)
{
    char text[300] = "its key is not known here", others[60] = "";
    const char *name = r->name, *role = who ? wire_role_name(who->role) : "";
    if (r->why == AUDIT_INTRUDER)
        snprintf(text, sizeof text, "%s (%s) asked for the session of somebody else", name, role);
    else if (r->why != AUDIT_UNKNOWN)
        snprintf(text, sizeof text, "the invitation of %s (%s) %s", name, role,
                 r->why == AUDIT_EXPIRED ? "has expired" : "was revoked");
    if (more)
        snprintf(others, sizeof others, "; %u more were refused before", more);
    ipp_log(IPP_LOG_WARNING, "a client from %s was refused: %s%s",
            r->address[0] ? r->address : "somewhere", text, others);
}

void audit_refused(struct bridge *b, const char *address, const struct guest *who,
                   enum audit_reason why)
{
    struct refusal refusal = { .why = why, .told_ms = ipp_now_ms() };
    unsigned more;
    snprintf(refusal.address, sizeof refusal.address, "%s", address);
    snprintf(refusal.name, sizeof refusal.name, "%s", who ? who->name : "");
    if (!may_tell(&b->access, &refusal, &more))
        return;
    log_refusal(&refusal, who, more);
    feed_event(b, "refused", false,
               json_pack("{s:s, s:s*, s:s*, s:s*}", "reason", reasons[why], "name",
                         who ? who->name : NULL, "role", who ? wire_role_name(who->role) : NULL,
                         "address", known(refusal.address)));
}

void audit_denied(struct bridge *b, const struct session *session, const struct wire_op_info *op)
{
    struct guest *guest = access_find(&b->access, session->key);
    int64_t now = ipp_now_ms(), *told = guest ? &guest->denied_ms[op->op] : NULL;
    if (!told || (*told && now - *told < DENIED_QUIET_MS))
        return;
    *told = now;
    const char *role = wire_role_name(guest->role);
    ipp_log(IPP_LOG_WARNING, "%s (%s, %s) was denied %s (%s)", guest->name, role, session->address,
            op->request, op->doc);
    feed_event(b, "denied", false,
               json_pack("{s:s, s:s, s:s, s:s*}", "name", guest->name, "role", role, "operation",
                         op->request, "address", known(session->address)));
}
