Somebody comes near a zone, enters it, and leaves past its buffer.
Near is a warning, inside is critical; what touches an exclusion is not counted twice.
Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s
  X1 obliges W1: EXCLUSION inside park, always, buffer 150 m

Course
  12:00 D1 at lane
  12:01 D1 at lane
  12:02 D1 at bench
  12:03 D1 at bench
  12:04 D1 at lane
  12:05 D1 at lane
  12:06 D1 at street
  12:07 D1 at street

Findings at 12:10
  W1 APPROACH on X1 from 12:00 to 12:02, known 12:01
  W1 EXCLUSION on X1 from 12:02 to 12:04, known 12:03
  W1 APPROACH on X1 from 12:04 to 12:06, known 12:05

Alerts
  W1 APPROACH on X1 warning, 2 findings, raised 12:01
  W1 EXCLUSION on X1 critical, raised 12:02
