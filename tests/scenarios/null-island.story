A tag without a fix sends exactly (0, 0).

Ready 12:00

Orders
  tag D1 on W1 from 12:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, always

Course
  12:00 to 12:30 every 5 min D1 at home
  12:07 D1 at nowhere
  12:12 D1 at nowhere

Findings at 12:32
  none

Alerts
  none
