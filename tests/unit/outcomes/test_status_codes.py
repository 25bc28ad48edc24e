"""What real servers' refusals speak of. Names and numbers in them are changed."""

import pytest

from otpmail.outcomes import of_reply
from otpmail.outcomes.status_codes import Blame, Stage, finding

MAIL, ROUTE, CAPABILITY = Blame.MAIL, Blame.ROUTE, Blame.CAPABILITY
OPENING, SENDER, RCPT, DATA = Stage

REPLIES = [
    # Postfix
    (RCPT, "550 5.1.1 <a@example.org>: Recipient address rejected: User unknown in table", MAIL),
    (RCPT, "550 5.1.1 <a@example.org>: Recipient address rejected: mail not accepted", MAIL),
    (RCPT, "501 5.1.3 Bad recipient address syntax", MAIL),
    (RCPT, "550 5.1.10 <a@example.org>: Domain example.org does not accept mail (nullMX)", MAIL),
    (RCPT, "450 4.1.2 <a@nowhere.example>: Recipient address rejected: Domain not found", MAIL),
    (RCPT, "450 4.1.1 <a@example.org>: unverified address: connect to mx timed out", MAIL),
    (RCPT, "554 5.7.1 <a@example.org>: Relay access denied", ROUTE),
    (RCPT, "454 4.7.1 <a@example.org>: Relay access denied", ROUTE),
    (RCPT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.test", ROUTE),
    (RCPT, "450 4.7.1 Client host rejected: cannot find your reverse hostname", ROUTE),
    (RCPT, "553 5.7.1 <k@example.com>: Sender address rejected: not owned by user k", ROUTE),
    (RCPT, "450 4.1.8 <k@example.com>: Sender address rejected: Domain not found", ROUTE),
    (RCPT, "450 4.2.0 <a@example.org>: Recipient address rejected: Greylisted", MAIL),
    (SENDER, "452 4.3.1 Insufficient system storage", ROUTE),
    (RCPT, "451 4.3.0 <a@example.org>: Temporary lookup failure", ROUTE),
    (RCPT, "451 4.3.5 Server configuration problem", ROUTE),
    (SENDER, "552 5.3.4 Message size exceeds fixed limit", CAPABILITY),
    (SENDER, "530 5.7.0 Must issue a STARTTLS command first", ROUTE),
    (DATA, "554 5.7.1 id=4F2A - SPAM", ROUTE),
    (DATA, "421 4.4.2 mx.example.org Error: timeout exceeded", ROUTE),
    (RCPT, "503 5.5.1 Error: need MAIL command", ROUTE),
    # Exim: no enhanced codes
    (RCPT, "550 relay not permitted", ROUTE),
    (RCPT, "550 Unrouteable address", MAIL),
    (RCPT, "550 Unknown user", MAIL),
    (RCPT, "550-Verification failed for <k@example.com>\n550 Sender verify failed", ROUTE),
    (RCPT, "550 rejected because 192.0.2.1 is in a black list at zen.spamhaus.org", ROUTE),
    (RCPT, "550 Administrative prohibition", ROUTE),
    (RCPT, "451 Temporarily greylisted, please try again later", MAIL),
    (DATA, "552 Message size exceeds maximum permitted", CAPABILITY),
    (DATA, "550 This message was classified as SPAM and may not be delivered", ROUTE),
    # Sendmail
    (RCPT, "550 5.1.1 <a@example.org>... User unknown", MAIL),
    (RCPT, "550 5.7.1 <a@example.org>... Relaying denied. Proper authentication required.", ROUTE),
    (RCPT, "553 5.3.0 <a@example.org>... Spam blocked see: http://bl.test/query", ROUTE),
    (SENDER, "553 5.1.8 <k@example.com>... Domain of sender address does not exist", ROUTE),
    (SENDER, "452 4.4.5 Insufficient disk space; try again later", ROUTE),
    # Gmail and Google Workspace
    (RCPT, "550-5.1.1 The email account that you tried to reach does not exist.", MAIL),
    (RCPT, "550 5.2.1 The email account that you tried to reach is inactive", MAIL),
    (RCPT, "452 4.2.2 The recipient's inbox is out of storage space", MAIL),
    (RCPT, "450 4.2.1 The user you are trying to contact is receiving mail too quickly", MAIL),
    (RCPT, "553 5.1.3 The recipient address is not a valid RFC 5321 address", MAIL),
    (DATA, "550 5.7.26 Your email has been blocked because the sender is unauthenticated", ROUTE),
    (DATA, "550 5.7.25 The sending IP does not have a PTR record set up", ROUTE),
    (DATA, "550 5.7.30 Your email has been blocked: DKIM does not pass", ROUTE),
    (DATA, "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail", ROUTE),
    (DATA, "451 4.7.26 This mail is unauthenticated", ROUTE),
    (DATA, "550 5.4.5 Daily user sending limit exceeded", ROUTE),
    (DATA, "552 5.2.3 Your message exceeded Google's message size limits", CAPABILITY),
    (DATA, "552 5.7.0 This message was blocked because its content is a security issue", ROUTE),
    (SENDER, "530 5.5.1 Authentication Required. Learn more", ROUTE),
    (RCPT, "550 5.7.1 Invalid credentials for relay [192.0.2.1]", ROUTE),
    (OPENING, "535 5.7.8 Username and Password not accepted", ROUTE),
    (DATA, "550 5.7.1 This message does not have authentication information", ROUTE),
    (RCPT, "454 4.7.0 Too many login attempts, please try again later", ROUTE),
    # Microsoft 365 and Outlook.com
    (RCPT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by lookup", MAIL),
    (RCPT, "550 5.4.1 Recipient address rejected: Access denied. [mx.example]", MAIL),
    (RCPT, "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)", MAIL),
    (DATA, "550 5.7.515 Access denied, sending domain EXAMPLE.COM doesn't meet the level", ROUTE),
    (RCPT, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", ROUTE),
    (RCPT, "550 5.7.708 Service unavailable. Access denied, traffic not accepted", ROUTE),
    (RCPT, "550 5.7.64 TenantAttribution; Relay Access Denied", ROUTE),
    (RCPT, "550 5.1.8 Access denied, bad outbound sender", ROUTE),
    (SENDER, "530 5.7.57 Client not authenticated to send mail", ROUTE),
    (DATA, "554 5.2.252 SendAsDenied; k not allowed to send as x", ROUTE),
    (DATA, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException", ROUTE),
    (RCPT, "451 4.7.500 Server busy. Please try again later from [192.0.2.1]", ROUTE),
    (RCPT, "451 4.7.650 The mail server has been temporarily rate limited", ROUTE),
    (RCPT, "451 4.4.3 Temporary server error. Please try again later ATTR3.1", ROUTE),
    (DATA, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", ROUTE),
    (DATA, "550 5.1.90 Your message can't be sent: daily limit for recipients", ROUTE),
    (RCPT, "550 SC-001 Unfortunately, messages from 192.0.2.1 are on our block list", ROUTE),
    (RCPT, "552 5.2.2 mailbox full", MAIL),
    # Yahoo, AOL
    (DATA, "554 delivery error: dd This user doesn't have a yahoo.com account (a)", MAIL),
    (RCPT, "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", ROUTE),
    (RCPT, "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1", ROUTE),
    (DATA, "554 5.7.9 Message not accepted for policy reasons", ROUTE),
    (RCPT, "552 1 Requested mail action aborted, mailbox not found", MAIL),
    (RCPT, "450 User is receiving mail too quickly", MAIL),
    # Amazon SES
    (DATA, "554 Message rejected: Email address is not verified. The identities failed", ROUTE),
    (DATA, "454 Throttling failure: Maximum sending rate exceeded.", ROUTE),
    (DATA, "454 Throttling failure: Daily message quota exceeded", ROUTE),
    (DATA, "552 Message is too long.", CAPABILITY),
    (DATA, "554 Access denied: User is not authorized to perform ses:SendRawEmail", ROUTE),
    (SENDER, "530 Authentication required", ROUTE),
    (DATA, "554 Transaction failed: Missing final '@domain'", MAIL),
    (OPENING, "535 Authentication Credentials Invalid", ROUTE),
    # SendGrid, Mailgun, Brevo
    (DATA, "550 The from address does not match a verified Sender Identity", ROUTE),
    (RCPT, "550 Unauthenticated senders not allowed", ROUTE),
    (RCPT, "451 Authentication failed: Maximum credits exceeded", ROUTE),
    (DATA, "550 sandbox subdomains are for test purposes only", ROUTE),
    (SENDER, "502 5.7.0 Please authenticate first", ROUTE),
    # Mimecast
    (RCPT, "550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550", MAIL),
    (DATA, "550 Rejected by header based Anti-Spoofing policy: k@example.com", ROUTE),
    (RCPT, "550 csi.mimecast.org Poor Reputation Sender. [id]", ROUTE),
    (DATA, "554 Email rejected due to security policies", ROUTE),
    (RCPT, "550 Administrative prohibition - envelope blocked", ROUTE),
    # Proofpoint
    (RCPT, "554 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", ROUTE),
    (RCPT, "550 5.7.0 Local Policy Violation", ROUTE),
    (RCPT, "550 5.1.1 User Unknown", MAIL),
    (RCPT, "550 5.7.1 User email address is marked as invalid.", MAIL),
    # Barracuda
    (RCPT, "550 No such user (a@example.org)", MAIL),
    (RCPT, "554 Service unavailable; Client host blocked using Barracuda Reputation", ROUTE),
    (DATA, "550 rejecting spoofed message", ROUTE),
    (RCPT, "550 cuda_nsu 5.1.1 <a@example.org> Recipient address rejected: User unknown", MAIL),
    # Cisco
    (RCPT, "550 #5.1.0 Address rejected.", MAIL),
    (RCPT, "550 #5.7.1 Your access to submit messages to this system has been rejected.", ROUTE),
    # GMX, WEB.DE, mail.ru, QQ
    (OPENING, "554 gmx.net Nemesis ESMTP Service not available. No SMTP service", ROUTE),
    (DATA, "554 Transaction failed. Reject due to policy restrictions.", ROUTE),
    (RCPT, "550 Requested action not taken: mailbox unavailable", MAIL),
    (DATA, "550 spam message rejected. Please visit http://help.mail.ru", ROUTE),
    (DATA, "550 Ip frequency limited [id]", ROUTE),
    # iCloud
    (RCPT, "550 5.1.1 <a@icloud.com>: user does not exist", MAIL),
    (DATA, "550 5.7.1 Your message was rejected due to example.com's DMARC policy", ROUTE),
    (DATA, "554 5.7.1 [HM07] Message rejected due to local policy", ROUTE),
    (RCPT, "550 5.7.1 Mail from IP 192.0.2.1 was rejected due to listing in Spamhaus PBL", ROUTE),
    (DATA, "552 5.2.2 user is over quota", MAIL),
    # Others
    (RCPT, "571 5.7.1 Message contains spam or virus", ROUTE),
    (RCPT, "451 4.7.1 Greylisting in action, please come back in 00:05:00", MAIL),
    (RCPT, "451 4.7.1 Try again later", MAIL),
    (DATA, "554 5.6.3 8BITMIME needed", CAPABILITY),
    (RCPT, "553 5.6.7 Address requires SMTPUTF8", CAPABILITY),
    (RCPT, "552 5.5.3 Too many recipients", CAPABILITY),
    (RCPT, "556 5.1.10 Recipient address has null MX", MAIL),
    (RCPT, "550 5.7.17 Mailbox owner has changed", MAIL),
    (DATA, "554 4.3.2 of no sense", MAIL),
    (DATA, "550", MAIL),
    (SENDER, "550 5.1.1 of nobody yet", ROUTE),
    # The account and the way, told as the person's address
    (DATA, "550 5.2.251 Sender throttled", ROUTE),  # Microsoft
    (DATA, "550 5.2.255 Sender throttled: recipient rate", ROUTE),
    (DATA, "550 5.2.2 Submission quota exceeded", ROUTE),
    (DATA, "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed", ROUTE),
    (DATA, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", ROUTE),
    (DATA, "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceeded", MAIL),
    (RCPT, "450 4.2.1 Peak SMTP relay limit exceeded for customer. This is temporary", ROUTE),
    (RCPT, "550 5.7.1 Daily SMTP relay limit exceeded for customer.", ROUTE),
    (DATA, "550 Domain x has exceeded the max emails per hour (151/150 (100%)) allowed.", ROUTE),
    (DATA, "550 Domain x has exceeded the max defers and failures per hour (5/5)", ROUTE),
    (RCPT, "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", ROUTE),
    (RCPT, "501 5.5.2 <x_y>: Helo command rejected: Invalid name", ROUTE),
    (RCPT, "504 5.5.2 <a>: Recipient address rejected: need fully-qualified address", MAIL),
    (RCPT, "504 5.5.2 <k>: Sender address rejected: need fully-qualified address", ROUTE),
    (RCPT, "450 4.1.7 <k@example.com>: Sender address rejected: unverified address", ROUTE),
    (RCPT, "550 HELO argument does not match calling host", ROUTE),
    (RCPT, "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", ROUTE),
    (RCPT, "451 4.7.1 Rate limit exceeded, please try again later", ROUTE),
    (RCPT, '451 4.7.1 Ratelimit "user" exceeded', ROUTE),  # rspamd
    (RCPT, "450 4.7.1 Policy rejection; Message count quota exceeded. Please retry later", ROUTE),
    (RCPT, "450 4.7.1 Error: too much mail from 192.0.2.1; try again later", ROUTE),
    (RCPT, "450 4.7.1 <h>: Client host rejected: cannot find your hostname, try again", ROUTE),
    (RCPT, "450 4.7.0 Sender denied, please retry", ROUTE),
    (RCPT, "550 5.7.1 Mailbox unavailable. Your IP address 192.0.2.1 is blacklisted", ROUTE),
    (RCPT, "550 5.7.1 mailbox unavailable due to your IP being on a blocklist", ROUTE),
    (
        RCPT,
        "550 5.7.1 Requested action not taken: mailbox unavailable; For explanation visit"
        " http://postmaster.gmx.com/en/error-messages?ip=192.0.2.1&c=rip",
        ROUTE,
    ),
    (RCPT, "550 Requested mail action not taken: mailbox unavailable. Sender not allowed", ROUTE),
    (
        RCPT,
        "550 Requested mail action not taken: mailbox unavailable. Reject due to policy"
        " restrictions. For explanation visit",
        ROUTE,
    ),
    (RCPT, "550 5.7.1 Sender verify failed: unknown user", ROUTE),
    (RCPT, "550 5.7.1 Sender address does not exist", ROUTE),
    (RCPT, "550 Callback setup failed while verifying <k@example.com>", ROUTE),
    # qmail, with its code at the end
    (RCPT, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", ROUTE),
    (RCPT, "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)", ROUTE),
    (RCPT, "553 sorry, your mail server has been rejected", ROUTE),
    (RCPT, "550 sorry, no mailbox here by that name. (#5.1.1)", MAIL),
    (RCPT, "550 (see section 5.7.1) no such user", MAIL),
    # QQ, Zoho
    (RCPT, "550 Connection denied", ROUTE),
    (DATA, "550 Suspected bounce attacks", ROUTE),
    (DATA, "550 Suspected spam ip", ROUTE),
    (DATA, "550 Mail content denied. http://service.mail.test", ROUTE),
    (DATA, "550 5.4.6 Unusual sending activity detected. Please try after sometime.", ROUTE),
    # And the person's address, beside words that sound of the way
    (RCPT, "552 5.2.2 Mailbox size limit exceeded", MAIL),
    (RCPT, "552 5.2.2 storage limit exceeded for the recipient's mailbox", MAIL),
    (RCPT, "550 5.4.316 Message expired, connection refused (socket error code 10061)", MAIL),
    (RCPT, "450 4.4.1 [relay.example]: connection timed out", MAIL),
    (RCPT, "550 5.7.1 Recipient address rejected: User unknown in virtual mailbox table", MAIL),
    (RCPT, "452 4.1.1 requested action aborted: try again later - greylisted", MAIL),
    (RCPT, "451 4.7.1 Greylisted by policy, try again later", MAIL),
    (RCPT, "550 5.7.1 user over quota", MAIL),
    # Who types an address chooses no words
    (RCPT, "550 <spam@blacklist.relay.example>: sorry", MAIL),
    (RCPT, "550 no mailbox policy@spamhaus.example here", MAIL),
]


@pytest.mark.parametrize(("stage", "reply", "blame"), REPLIES)
def test_refusal_speaks_of_what_its_sender_means(stage, reply, blame):
    code, text = int(reply[:3]), reply[4:].replace(f"\n{reply[:3]} ", "\n")
    assert of_reply(code, text, stage=stage).blame is blame


@pytest.mark.parametrize(
    ("stage", "reply", "is_local"),
    [
        (RCPT, "550 5.7.1 Blocked", True),  # by one recipient's server, maybe
        (DATA, "550 blocked using bl.test", True),
        (RCPT, "421 4.7.0 closing", False),
        (RCPT, "451 4.3.0 down", False),
        (DATA, "550 5.7.26 unauthenticated", False),
        (DATA, "451 4.7.29 not over TLS", False),
        (SENDER, "550 5.7.1 who are you", False),  # no recipient was named
        (RCPT, "530 5.7.0 sign in first", False),
    ],
)
def test_policy_after_a_recipient_was_named_may_hold_for_its_domain_alone(stage, reply, is_local):
    found = finding(stage, int(reply[:3]), reply[4:])
    assert (found.blame, found.is_local) == (ROUTE, is_local)


@pytest.mark.parametrize(
    ("stage", "reply", "is_of_sender"),
    [
        (SENDER, "553 5.7.1 Sender address rejected: not owned by user k", True),
        (SENDER, "550 5.1.8 Domain of sender address does not exist", True),
        (SENDER, "501 5.1.7 Bad sender address syntax", True),
        (SENDER, "550 5.7.60 Client does not have permissions to send as this sender", True),
        (SENDER, "550 Sender rejected", True),
        (RCPT, "553 5.7.1 <k@example.com>: Sender address rejected: not owned by user k", True),
        (DATA, "554 5.2.252 SendAsDenied", True),
        (DATA, "554 Message rejected: Email address is not verified.", True),
        (SENDER, "530 5.7.0 Must issue a STARTTLS command first", False),
        (SENDER, "502 5.7.0 Please authenticate first", False),
        (SENDER, "421 4.7.0 closing", False),
        (SENDER, "452 4.3.1 Insufficient system storage", False),
        (SENDER, "451 no", False),
        (RCPT, "550 5.7.1 blocked using bl.test", False),
        (DATA, "550 5.2.251 Sender throttled", False),
    ],
)
def test_refusal_of_a_sender_is_told_from_one_of_all(stage, reply, is_of_sender):
    found = finding(stage, int(reply[:3]), reply[4:])
    assert (found.blame, found.is_of_sender) == (ROUTE, is_of_sender)


def test_table_is_of_real_replies():
    assert len(REPLIES) >= 60
