A home unit loses sight of the tag: that needs no second word.

Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00

Course
  18:50 to 20:00 every 5 min D1 RF_IN of U1
  20:02 D1 RF_OUT of U1

Findings at 20:10
  W1 CURFEW LEFT_DURING on C1 from 20:02, lasting

Alerts
  W1 CURFEW on C1 AL10 serious, raised 20:02
