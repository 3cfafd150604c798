"""Every check by its id: the promise in a teacher's words, English and Simplified Chinese.

The check `time-zone` is the function `test_time_zone` in one of the test modules here.
"""

from __future__ import annotations

from provisioner.checks.promises import Promises
from provisioner.model.base import Model, Name, ShortText


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
    Check(id="services", en="Nothing failed while the machine started.", zh="启动过程没有出错。"),
)  # fmt: skip


def expected_checks(promises: Promises) -> tuple[Check, ...]:
    """The checks that must have passed: all of them, less what this school did not ask for."""
    return tuple(check for check in CATALOG if check.id != "wallpaper" or promises.wallpaper_sha256)


def check_of(check_id: str) -> Check:
    """The check with this id; raises KeyError."""
    return {check.id: check for check in CATALOG}[check_id]
