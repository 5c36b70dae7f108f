An order that looks back ten minutes asks for less.
`seen_within_s` is a setting of the order.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00, seen within 600 s

Course
  18:40 D1 at street
  18:51 D1 at street
  19:00 clock

Findings at 19:01
  W1 CURFEW OUT_AT_START on C1 from 19:00, lasting, shown by 19:00

Alerts
  W1 CURFEW on C1 AL08 serious, raised 19:00
