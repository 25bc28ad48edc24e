"""Sign in by a mailed code, complete: ``INSTALLED_APPS``, one ``include``, done.

Two pages: one asks for the address, one takes the code. ``pages`` has what they do for whatever
purpose, ``views`` what they are for (answering at ``urls``), and all they say is in ``sentences``.
Who an address belongs to, and who may sign in, is told by ``users``; what each tab of a browser
asked for is kept by ``tabs``, who asks is told by ``clients``, and a project hears of it by
``signals``. ``conf`` has the settings, ``checks`` says what a project lacks, ``apps`` makes it an
app of Django's.

In: requests. Out: pages, and a user who is signed in.
Knows nothing of: how a code is made, mailed or compared. Stands on the calls that any project has.

Nobody learns from a page whether an address is known: what is answered is the same, and what it
costs is. Nobody can lock out another: a wrong code is counted against the browser that asked.
"""
