"""Everything the machine says on its own screen, in English and Chinese: one small catalogue.

Steps are named by a short word in the code; the station is told the English text.
"""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """One text in both languages."""

    en: str
    zh: str


VERBS: dict[str, Words] = {
    "diagnose": Words("Testing", "正在检测"),
    "wipe": Words("Erasing", "正在擦除"),
    "image": Words("Installing", "正在安装"),
    "restart": Words("Restarting", "正在重启"),
    "renew": Words("Renewing", "正在更新"),
    "reconfigure": Words("Setting up anew", "正在重新配置"),
    "reset-homes": Words("Emptying the users' folders", "正在清空用户文件夹"),
    "logs": Words("Sending its log", "正在发送日志"),
}

STEPS: dict[str, Words] = {
    "start": Words("Getting ready", "正在准备"),
    # diagnose
    "memory": Words("Testing the memory", "正在检测内存"),
    "disk": Words("Testing the disk", "正在检测硬盘"),
    "load": Words("Testing the processor under load", "正在对处理器进行负载测试"),
    "rest": Words("Testing network and clock", "正在检测网络和时钟"),
    # wipe
    "mark": Words("Marking places on the disk", "正在硬盘上做标记"),
    "drive": Words("The disk erases itself", "硬盘正在自行擦除"),
    "overwrite": Words("Overwriting the disk", "正在覆盖硬盘"),
    "look": Words("Reading the disk back", "正在读回硬盘"),
    # image
    "manifest": Words("Checking the release", "正在核对系统版本"),
    "partition": Words("Dividing the disk", "正在分区"),
    "fetch": Words("Fetching the system", "正在下载系统"),
    "kernel": Words("Fetching the kernel", "正在下载内核"),
    "personalise": Words("Giving the machine its name", "正在写入本机信息"),
    "check": Words("Reading the system back", "正在读回系统"),
    "loaders": Words("Making the disk startable", "正在写入启动程序"),
    # renew
    "trial": Words("Waiting to start the new system", "等待启动新系统"),
    "configure": Words("Setting up the new system", "正在配置新系统"),
    "promises": Words("Checking the new system", "正在检查新系统"),
    # errands
    "site": Words("Fetching the school's configuration", "正在获取学校配置"),
    "quiet": Words("Waiting until nobody works here", "等待无人使用"),
    "homes": Words("Emptying the users' folders", "正在清空用户文件夹"),
    "log": Words("Reading the log", "正在读取日志"),
}

# By the kind of error; the error's own message and hint (English) are shown below it.
PROBLEMS: dict[str, tuple[Words, str]] = {
    "DiskChoiceError": (
        Words("The disk does not fit the order", "硬盘与指令不符"),
        "请检查硬盘是否换过或没有接好。",
    ),
    "DiskFaultError": (Words("The disk is faulty", "硬盘有故障"), "请更换硬盘。"),
    "WipeRefusedError": (
        Words("This disk cannot be erased as demanded", "无法按要求擦除这块硬盘"),
        "请取出硬盘，或请技术人员排除原因。",
    ),
    "DriveFrozenError": (
        Words("The firmware has frozen this disk", "固件已冻结这块硬盘"),
        "请在控制台上让这台电脑休眠片刻，或在开机时短暂拔下硬盘电源线。",
    ),
    "ImageMismatchError": (
        Words("The data did not arrive whole", "数据不一致"),
        "请再试一次；如果重复出现，请检测或更换内存和硬盘。",
    ),
    "UntrustedError": (
        Words("An order was refused", "指令不可信，已拒绝"),
        "没有写入任何数据，请找技术人员。",
    ),
    "ProofMissingError": (Words("A step cannot be proved", "无法证明操作成功"), "请找技术人员。"),
    "CommandError": (Words("A tool failed", "工具运行失败"), "请重启这台电脑再试。"),
    "NotFoundError": (Words("The release is missing", "找不到系统版本"), "请检查工作站。"),
    "RefusedError": (Words("The station said no", "工作站拒绝了请求"), "请看工作站的屏幕。"),
    "StationError": (Words("Started in a wrong way", "启动方式不对"), "请从工作站的网络重新启动。"),
    "WrongStateError": (
        Words("This cannot be done now", "现在不能执行"),
        "请看工作站的屏幕。",
    ),
}
OTHER_PROBLEM = (Words("Something went wrong", "出错了"), "请找技术人员。")

RENEWAL_NOTICE = Words(
    "This computer restarts in ten minutes with its new system. Files stay. "
    "To do it in the evening instead, choose “Later”.",
    "本机将在十分钟后重启并换用新系统，文件会保留。如需改到晚上进行，请选择“稍后”。",
)

# What a teacher reads on the stick and on the screen.
STICK: dict[str, Words] = {
    "taken": Words(
        "The stick is being used. Leave it in; a short text on it will say when it is done.",
        "正在使用U盘，请不要拔出；完成后U盘上会写入说明。",
    ),
    "done": Words("This computer has its new system.", "这台电脑已换用新系统。"),
    "failed": Words(
        "The new system did not work on this computer; the old one goes on. "
        "Send the stick back, the reason is on it.",
        "新系统在这台电脑上未能正常运行，电脑继续使用原系统。请将U盘寄回，原因已写在U盘上。",
    ),
    "other-school": Words(
        "This stick is for another school. Nothing was changed.",
        "这个U盘属于另一所学校，没有做任何改动。",
    ),
    "old": Words(
        "This stick is older than what this computer already has. Nothing was changed.",
        "这个U盘的内容比本机现有的更旧，没有做任何改动。",
    ),
    "changed": Words(
        "Somebody or something has changed this stick, so it is not used. Ask for a new one.",
        "这个U盘的内容已被改动，因此不能使用。请索取新的U盘。",
    ),
}

STARTING = Words("Starting", "正在启动")
NO_STATION = Words("Waiting for the station", "正在等待工作站")
NO_STATION_HINT = Words("Check the network cable.", "请检查网线。")
REGISTERED = Words("Waiting for work", "等待任务")
STATION_SILENT = Words("the station is silent", "工作站无应答")
SENDING = Words("Sending the result", "正在发送结果")


def step(word: str) -> Words:
    """The text of a step; an unknown word shows as itself."""
    return STEPS.get(word, Words(word, word))
