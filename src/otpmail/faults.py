"""What foreign code raises stays where it arose: it ends no thread and no round.

In: any exception. Out: whether it asks the process to end.
Knows nothing of: what is done about it.

Templates, mail backends and key services may raise what is no ``Exception``: the panic of a Rust
extension derives from ``BaseException``. Whoever calls them catches that, and asks here.
"""

import threading


def ends_process(error: BaseException) -> bool:
    """Tell whether it is Ctrl-C or ``sys.exit`` in the main thread, which must be let through."""
    asks = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
    return asks and threading.current_thread() is threading.main_thread()
