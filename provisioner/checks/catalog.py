"""Every check by its id: the promise in a teacher's words, English and Simplified Chinese.

The check `time-zone` is the function `test_time_zone` in one of the test modules here.
"""

from __future__ import annotations

from collections.abc import Callable

from provisioner.checks.promises import Promises
from provisioner.model.base import Model, Name, ShortText
from provisioner.model.classroom import InputMethod
from provisioner.model.school import SeatRole


class Check(Model):
    """One promise; `en` and `zh` say it as a fact that holds when the check passes."""

    id: Name
    en: ShortText
    zh: ShortText


CATALOG = (
    Check(id="host-key", en="This is the very machine that was imaged.",
          zh="这正是那台装好系统的电脑。"),
    Check(id="release", en="It runs the promised system, unchanged.",
          zh="运行的是约定的系统，未被改动。"),
    Check(id="home-persistent", en="What pupils save is still there after a restart.",
          zh="学生保存的文件重启后仍然存在。"),
    Check(id="hostname", en="The machine carries the name of its seat.",
          zh="电脑名称与座位一致。"),
    Check(id="language", en="It speaks the school's language.", zh="使用学校所选的语言。"),
    Check(id="time-zone", en="It lives in the school's time zone.", zh="时区设置正确。"),
    Check(id="keyboard", en="The keys write what is printed on them.", zh="键盘布局正确。"),
    Check(id="clock", en="Its clock is right.", zh="时钟准确。"),
    Check(id="time-servers", en="It knows whom to ask for the time.", zh="已设置校时服务器。"),
    Check(id="accounts", en="Teacher and pupil each have an account and a home.",
          zh="教师和学生各有账户和个人目录。"),
    Check(id="passwords", en="Nobody gets in without a password.", zh="没有密码无法登录。"),
    Check(id="no-administrators", en="Neither pupil nor teacher can change the system.",
          zh="学生和教师都不能更改系统。"),
    Check(id="banner", en="The school's greeting stands on the login screen.",
          zh="登录界面显示学校的欢迎语。"),
    Check(id="wallpaper", en="The school's wallpaper is there.", zh="学校壁纸已就位。"),
    Check(id="network-login", en="Nobody can log in over the network with a password.",
          zh="不能通过网络用密码登录。"),
    Check(id="agent", en="The program that looks after the machine is running.",
          zh="维护程序正在运行。"),
    Check(id="school", en="The machine knows which school and which seat it belongs to.",
          zh="电脑知道自己属于哪所学校、哪个座位。"),
    Check(id="homes", en="Pupils' files are kept or put aside, as the school wishes.",
          zh="学生的文件按学校的要求保留或收起。"),
    Check(id="protected", en="A pupil cannot harm the system, by accident or on purpose.",
          zh="学生无论有意无意都不会损坏系统。"),
    Check(id="disk-reserve", en="A full home leaves room for the system to work.",
          zh="个人文件再多，系统仍有空间运行。"),
    Check(id="input-method", en="Chinese can be typed in the way that the school chose.",
          zh="可以用学校选定的输入法打中文。"),
    Check(id="auto-login", en="The pupil's desktop opens by itself when the machine starts.",
          zh="开机后自动打开学生桌面。"),
    Check(id="accessibility", en="The aids for seeing, hearing and typing are switched on.",
          zh="视、听、打字等辅助功能已开启。"),
    Check(id="start-page", en="The browser begins with the school's own page.",
          zh="浏览器首先打开学校的主页。"),
    Check(id="courseware", en="The courseware that the school chose is there, unchanged.",
          zh="学校选定的课件都在，内容无误。"),
    Check(id="fixed-address", en="The machine has its fixed address from the next start on.",
          zh="下次开机起使用固定地址。"),
    Check(id="names", en="The room's machines find each other by name.",
          zh="教室里的电脑可以按名称互相找到。"),
    Check(id="proxy", en="Programs reach the Internet by the school's proxy.",
          zh="程序通过学校的代理上网。"),
    Check(id="wifi", en="The machine knows the school's wireless network, and no other.",
          zh="电脑只记得学校的无线网络。"),
    Check(id="printer", en="What is printed goes to the room's printer.",
          zh="打印内容会送到教室的打印机。"),
    Check(id="opening-hours", en="The machine switches itself off when the room closes.",
          zh="机房关门后电脑自动关机。"),
    Check(id="classroom-control", en="Only the teacher can see and lock pupils' screens.",
          zh="只有老师能查看和锁定学生屏幕。"),
    Check(id="teacher-desk", en="The teacher's machine serves the room as agreed.",
          zh="教师机按约定为教室提供服务。"),
    Check(id="services", en="Nothing failed while the machine started.", zh="启动过程没有出错。"),
)  # fmt: skip


# Checks of what only some schools ask for; all others hold everywhere.
ON_REQUEST: dict[str, Callable[[Promises], object]] = {
    "wallpaper": lambda promised: promised.wallpaper_sha256,
    "input-method": lambda promised: promised.input_method is not InputMethod.NONE,
    "auto-login": lambda promised: promised.auto_login,
    "accessibility": lambda promised: promised.accessibility,
    "start-page": lambda promised: promised.start_page,
    "courseware": lambda promised: promised.packs or promised.serves_courseware,
    "fixed-address": lambda promised: promised.fixed_address,
    "names": lambda promised: promised.finds_by_name,
    "proxy": lambda promised: promised.proxy,
    "wifi": lambda promised: promised.wifi_file,
    "printer": lambda promised: promised.printer,
    "opening-hours": lambda promised: promised.hours and promised.hours.switch_off,
    "classroom-control": lambda promised: promised.control,
    "teacher-desk": lambda promised: promised.role is SeatRole.TEACHER,
}


def expected_checks(promises: Promises) -> tuple[Check, ...]:
    """The checks that must have passed: all of them, less what this school did not ask for."""
    return tuple(
        check for check in CATALOG
        if check.id not in ON_REQUEST or ON_REQUEST[check.id](promises)
    )  # fmt: skip


def check_of(check_id: str) -> Check:
    """The check with this id; raises KeyError."""
    return {check.id: check for check in CATALOG}[check_id]
