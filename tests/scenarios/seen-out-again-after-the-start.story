Last seen out ten minutes before the curfew, and again three minutes into it.
The finding begins when somebody saw it, with the reason of one that began at the start.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:40 D1 at street
  18:50 D1 at street
  19:03 D1 at street
  19:04 D1 at street
  19:12 D1 at home
  19:13 D1 at home

Findings at 19:25
  W1 CURFEW RETURNED_LATE on C1 from 19:03 to 19:12

Alerts
  W1 CURFEW on C1 AL09 serious, raised 19:03
