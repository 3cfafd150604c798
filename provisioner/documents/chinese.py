"""The Chinese of documents. A test compares the keys with what templates and code say."""

from __future__ import annotations

ZH = {
    "Certificate of data erasure": "数据清除证书",
    "The disk named here was erased and read back. What was measured follows.":
        "下列硬盘已被清除并读回核对，以下为实测结果。",
    "Standard": "依据标准",
    "NIST SP 800-88 r2 (September 2025); techniques: IEEE 2883":
        "NIST SP 800-88 r2（2025 年 9 月）；清除技术：IEEE 2883",
    "Medium": "存储介质",
    "Manufacturer": "制造商",
    "not told by the disk": "硬盘未提供",
    "Model": "型号",
    "Serial number": "序列号",
    "Property number and machine": "资产编号与电脑",
    "Kind of medium": "介质类型",
    "hard disk": "机械硬盘",
    "solid-state disk": "固态硬盘",
    "NVMe": "NVMe 固态硬盘",
    "Source of the medium": "介质来源",
    "batch": "批次",
    "Confidentiality before": "清除前的保密级别",
    "Apparent size": "可见容量",
    "Real size": "实际容量",
    "the disk did not tell; see the exceptions": "硬盘未提供，见例外说明",
    "nothing is hidden": "无隐藏区域",
    "bytes": "字节",
    "Erasure": "清除",
    "Level": "级别",
    "clear": "清除（Clear）",
    "purge": "净化（Purge）",
    "Technique": "技术",
    "confirmed by the drive": "硬盘确认完成",
    "the drive confirms nothing": "硬盘不提供确认",
    "then zeros over every addressable block": "随后对所有可寻址块写零",
    "Zeros over every addressable block": "对所有可寻址块写零",
    "Tool and version": "工具与版本",
    "Begun and ended": "开始与结束",
    "Bytes written": "写入字节数",
    "Bytes read back": "读回字节数",
    "every block, all of them empty": "全部块，均为空",
    "{count} samples, all of them empty": "抽样 {count} 处，均为空",
    "Verification": "核实方法",
    "Random marks were written to {count} places before and were gone after; all reading went past "
    "the memory of the computer.":
        "清除前在 {count} 处写入随机标记，清除后均已消失；所有读取均绕过电脑内存缓存。",
    "Other marks, both ends of the disk among them, stood until all else was written: it has all "
    "the room that it claims.":
        "另有标记写在硬盘首尾及中间多处，其余各处全部写零后仍然完好：硬盘容量属实。",
    "Data left on {share} of the disk or more would have been found with a probability of 95 %.":
        "若硬盘上仍有 {share} 或更多的数据残留，将有 95 % 的概率被发现。",
    "Result": "结果",
    "complete and verified": "完成并已核实",
    "Exceptions": "例外",
    "none": "无",
    "The drive did not tell whether it hides an area (HPA, DCO).":
        "硬盘未说明是否有隐藏区域（HPA、DCO）。",
    "Health of the disk (SMART)": "硬盘健康状况（SMART）",
    "before": "清除前",
    "after": "清除后",
    "passed": "自检通过",
    "hours": "通电小时",
    "reallocated": "重映射扇区",
    "uncorrectable": "不可纠正错误",
    "pending": "待映射扇区",
    "offline uncorrectable": "离线不可纠正",
    "% used": "寿命已用 %",
    "yes": "是",
    "no": "否",
    "Verified by": "核实人",
    "Validated by": "批准人",
    "Name": "姓名",
    "Title": "职务",
    "Place": "地点",
    "Contact": "联系方式",
    "Date": "日期",
    "Signature": "签名",
    "Destination of the medium": "介质去向",
    "This paper is a picture of the signed file {file}; only the file can be checked:":
        "本纸质件是签名文件 {file} 的图像，只有该文件可以核验：",
    "key": "公钥",
    "order": "指令",
    "evidence": "证据",
    "It states what this workshop measured. It is no certification by an authority.":
        "本证书说明本工场的实测结果，不是任何机构的认证。",
    "Certificate for the donor": "捐赠方证书",
    "Donor": "捐赠方",
    "Batch": "批次",
    "for the school": "受赠学校",
    "Machines": "电脑",
    "Disks erased with proof": "已清除并核实的硬盘",
    "Disks not erased, named below": "未清除的硬盘（列于下方）",
    "Weight in all": "总重量",
    "Disks that were erased, complete and verified": "已清除的硬盘（完成并已核实）",
    "Machine": "电脑",
    "Disk": "硬盘",
    "Size": "容量",
    "Written": "已写入",
    "Read back": "已读回",
    "all": "全部",
    "Disks that were not erased, and why": "未清除的硬盘及原因",
    "This certificate says nothing good about these disks.": "本证书不对这些硬盘作任何保证。",
    "Reason": "原因",
    "Machines and weights": "电脑与重量",
    "Grade": "等级",
    "Weight": "重量",
    "Where the weight comes from": "重量来源",
    "list of models": "型号表",
    "median of desktops": "台式机中位数",
    "median of laptops": "笔记本中位数",
    "What these figures are: erasure was measured on each disk by this workshop. A weight is the "
    "model's where this workshop keeps one, else the median of its kind in Boavizta's open dataset "
    "(217 desktops: 5.26 kg, 407 laptops: 1.65 kg); one model may weigh a third or five times as "
    "much as another. What they are not: no weighing of these machines, no statement on emissions, "
    "no certification by an authority.":
        "这些数字的含义：每块硬盘的清除由本工场实测。重量取本工场型号表中的数值；没有时取 Boavizta "
        "开放数据集中同类电脑的中位数（217 台台式机：5.26 千克，407 台笔记本：1.65 千克）；不同型"
        "号的重量可能只有三分之一，也可能相差五倍。它们不是：对这些电脑的称重、关于排放的说明或任何机构的"
        "认证。",
    "Labels": "标签",
    "Scan for its page and checklist": "扫码查看页面和检查表",
    "Scan for its number": "扫码读取编号",
    "What became of the machines": "捐赠电脑的去向",
    "machines given": "台捐赠电脑",
    "in use at schools": "台在学校使用",
    "disks erased with proof": "块硬盘已清除并核实",
    "reused": "再利用",
    "recycled, on receipts": "已回收（凭收据）",
    "CO₂e that reuse may have spared": "再利用可能减少的 CO₂e",
    "By donor": "按捐赠方",
    "Reused": "再利用",
    "Retired": "已退役",
    "kg reused": "再利用（千克）",
    "Weight from the list of models": "重量取自型号表（台）",
    "kg recycled on receipts": "凭收据回收（千克）",
    "kg CO₂e, low": "CO₂e 下限（千克）",
    "kg CO₂e, high": "CO₂e 上限（千克）",
    "CO₂e": "CO₂ 当量",
    "donor not noted": "未登记捐赠方",
    "in all": "合计",
    "Donors": "捐赠方",
    "Pupils": "学生",
    "Pupils, as declared by schools": "学生人数（学校申报）",
    "School": "学校",
    "School year": "学年",
    "Declared by": "申报人",
    "Declared on": "申报日期",
    "Rules and sources": "规则与来源",
    "Rule": "规则",
    "Reused: machines that a school has signed for, each once.":
        "再利用：学校已签收的电脑，每台只计一次。",
    "Weight: the model's where this workshop keeps one, else the median of its kind in Boavizta's "
    "open dataset (217 desktops: 5.26 kg, 407 laptops: 1.65 kg).":
        "重量：取本工场型号表中的数值；没有时取 Boavizta 开放数据集中同类电脑的中位数"
        "（217 台台式机：5.26 千克，407 台笔记本：1.65 千克）。",
    "Recycled: only what a factory has weighed and signed for; machines that wait for it count as "
    "nothing.": "回收：只计工厂过磅并签收的重量；等待回收的电脑不计。",
    "Disks: erased, read back and judged by the station; a certificate names each one.":
        "硬盘：由工作站清除、读回并判定；证书逐块列出。",
    "Pupils: as declared by schools, with date and name; never reckoned from machines.":
        "学生：以学校申报为准，注明日期与申报人；绝不由电脑数量推算。",
    "CO₂e: a range for three more years of use instead of a new machine. Low: 109 kg a desktop and "
    "69 kg a laptop (reuse network of Belgium, model of TU Berlin, 2005). High: 249 kg a desktop "
    "and 236 kg a laptop, the median share of manufacturing in makers' declarations (Boavizta's "
    "open dataset, February 2023). It was not measured on these machines; studies (MIT 2010, "
    "ADEME) found reuse that saved nothing, where an old machine needs much power or many new "
    "parts.":
        "CO₂e：以再用三年代替购置新机的区间值。下限：台式机每台 109 千克，笔记本每台 69 千克"
        "（比利时再利用网络，柏林工业大学 2005 年模型）。上限：台式机每台 249 千克，笔记本每台 "
        "236 千克，为厂商声明中制造阶段的中位数（Boavizta 开放数据集，2023 年 2 月）。这些电脑"
        "未经实测；也有研究（MIT 2010、ADEME）发现，旧电脑耗电高或更换部件多时，再利用并无减排。",
    "Hand-over": "交付",
    "Your classroom": "您的电脑教室",
    "{count} computers, tested, erased and set up for you. Everything on this paper is about your "
    "room.": "{count} 台电脑已检测、清除并为您配置。本资料的全部内容都针对您的教室。",
    "System": "系统",
    "Lease": "租期",
    "When something is broken": "出现故障时",
    "{count} more computers of this batch were not ready when this was printed; they are not on "
    "the list.": "打印时本批次还有 {count} 台电脑未就绪，未列入本表。",
    "Computers and seats": "电脑与座位",
    "Seat": "座位",
    "Label": "标签",
    "Name in the network": "网络名称",
    "For": "使用者",
    "teacher": "教师",
    "pupil": "学生",
    "For the teacher": "教师指南",
    "The first lesson": "第一节课",
    "Plug each computer in at its seat: screen, keyboard, mouse, network, power.":
        "把每台电脑接到对应的座位：显示器、键盘、鼠标、网线、电源。",
    "Switch the teacher's computer on first. It starts and shows this picture:":
        "先打开教师机。启动后出现以下画面：",
    "A drawing made from your school's settings: your greeting, your two accounts{wallpaper}.":
        "此图根据贵校的设置绘制：您的欢迎词、两个账户{wallpaper}。",
    " and your wallpaper": "和壁纸",
    "Choose “{teacher}” and type the password that the workshop gave you on its own sheet. Pupils "
    "choose “{pupil}”.":
        "选择“{teacher}”，输入工场另纸交给您的密码。学生选择“{pupil}”。",
    "What pupils save lies in their home folder on that computer and stays there, also after an "
    "update.": "学生保存的内容在该电脑的主文件夹中，更新后仍会保留。",
    "Switch off by the menu, at the end of the lesson.": "下课时通过菜单关机。",
    "Language": "语言",
    "Keyboard": "键盘",
    "Clock": "时钟",
    "kept by the room itself, without Internet": "由教室自行维持，无需互联网",
    "Seats": "座位数",
    "{teachers} for teachers, {pupils} for pupils": "教师 {teachers} 个，学生 {pupils} 个",
    "When a computer fails": "电脑出现故障时",
    "It stays dark.": "没有反应。",
    "Check both ends of the power cable and the switch at the back, then the screen's own switch "
    "and cable.": "检查电源线两端和机箱背面的开关，再检查显示器的开关和线缆。",
    "It does not start as usual.": "不能正常启动。",
    "Switch it off and on once. If it does the same again, tell the workshop what the screen "
    "shows.":
        "关机后再开机一次。若仍然如此，请把屏幕上的内容告诉工场。",
    "It is slow or a program hangs.": "运行缓慢或程序无响应。",
    "Switch it off and on. Nothing that pupils do can break the system itself.":
        "关机后再开机。学生的任何操作都不会损坏系统本身。",
    "It beeps, smells or gets hot.": "发出蜂鸣、异味或发烫。",
    "Pull the power plug and leave it off. Open nothing.": "拔下电源插头，不要再开机，也不要拆开。",
    "All else.": "其他情况。",
    "Note the number on the label and what the screen says, take a photo, and tell the workshop.":
        "记下标签上的编号和屏幕上的文字，拍照并告知工场。",
    "Receipt": "收条",
    "We have received {count} computers with these numbers, in working order:":
        "我校已收到以下编号的 {count} 台电脑，工作正常：",
    "They are on lease: they stay the workshop's property and come back to it, to be used again or "
    "recycled. What is missing or did not work:":
        "这些电脑为租用：仍属工场所有，到期归还，由工场再利用或回收。缺少或不能工作的部分：",
    "For the school": "学校",
    "For the workshop": "工场",
    "Place, date": "地点、日期",
}  # fmt: skip
