After the home unit was moved, fixes count again.

Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00

Course
  18:50 to 19:25 every 5 min D1 RF_IN of U1
  19:27 D1 HMU_MOVED of U1
  19:30 D1 at street
  19:32 D1 at street

Findings at 19:35
  W1 HMU HMU_MOVED on C1 from 19:27, lasting
  W1 CURFEW LEFT_DURING on C1 from 19:30, lasting, known 19:32

Alerts
  W1 HMU on C1 AL05 serious, raised 19:27
  W1 CURFEW on C1 AL10 serious, raised 19:32
