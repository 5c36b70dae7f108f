Late fixes show that the person came back in between.
One finding becomes two: the first is amended, the second is new.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 20:00 every 5 min D1 at street
  19:31 D1 at home, received 20:02
  19:32 D1 at home, received 20:02
  19:33 D1 at home, received 20:02

Findings at 20:05
  W1 CURFEW RETURNED_LATE on C1 from 19:00 to 19:31
  W1 CURFEW LEFT_DURING on C1 from 19:35, lasting, known 19:40
