"""A schematic map: one tile for each of the 34 province-level units, drawn here, from nobody's map.

Names are those of ISO 3166-2:CN. Tiles stand roughly where the units lie; sizes and borders say
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Province:
    """A tile: its place in the grid, its names, and the sign that stands in it."""

    code: str
    column: int
    row: int
    en: str
    zh: str
    sign: str

    def is_called(self, name: str) -> bool:
        """Whether a school's `province` means this one; “市”, “省” and the like may follow."""
        plain = name.strip().lower()
        return plain in (self.en.lower(), self.code.lower()) or plain.startswith(self.zh)


_ROWS = (
    ("HL", 10, 0, "Heilongjiang", "黑龙江", "黑"),
    ("NM", 7, 1, "Inner Mongolia", "内蒙古", "蒙"), ("JL", 10, 1, "Jilin", "吉林", "吉"),
    ("XJ", 1, 2, "Xinjiang", "新疆", "新"), ("GS", 4, 2, "Gansu", "甘肃", "甘"),
    ("NX", 5, 2, "Ningxia", "宁夏", "宁"), ("BJ", 7, 2, "Beijing", "北京", "京"),
    ("TJ", 8, 2, "Tianjin", "天津", "津"), ("LN", 9, 2, "Liaoning", "辽宁", "辽"),
    ("QH", 3, 3, "Qinghai", "青海", "青"), ("SN", 5, 3, "Shaanxi", "陕西", "陕"),
    ("SX", 6, 3, "Shanxi", "山西", "晋"), ("HE", 7, 3, "Hebei", "河北", "冀"),
    ("SD", 8, 3, "Shandong", "山东", "鲁"),
    ("XZ", 2, 4, "Tibet", "西藏", "藏"), ("SC", 4, 4, "Sichuan", "四川", "川"),
    ("CQ", 5, 4, "Chongqing", "重庆", "渝"), ("HA", 6, 4, "Henan", "河南", "豫"),
    ("AH", 7, 4, "Anhui", "安徽", "皖"), ("JS", 8, 4, "Jiangsu", "江苏", "苏"),
    ("YN", 4, 5, "Yunnan", "云南", "云"), ("GZ", 5, 5, "Guizhou", "贵州", "贵"),
    ("HB", 6, 5, "Hubei", "湖北", "鄂"), ("JX", 7, 5, "Jiangxi", "江西", "赣"),
    ("ZJ", 8, 5, "Zhejiang", "浙江", "浙"), ("SH", 9, 5, "Shanghai", "上海", "沪"),
    ("GX", 5, 6, "Guangxi", "广西", "桂"), ("HN", 6, 6, "Hunan", "湖南", "湘"),
    ("GD", 7, 6, "Guangdong", "广东", "粤"), ("FJ", 8, 6, "Fujian", "福建", "闽"),
    ("TW", 9, 6, "Taiwan", "台湾", "台"),
    ("HI", 5, 7, "Hainan", "海南", "琼"), ("MO", 6, 7, "Macao", "澳门", "澳"),
    ("HK", 7, 7, "Hong Kong", "香港", "港"),
)  # fmt: skip
PROVINCES = tuple(Province(*row) for row in _ROWS)


def province_of(name: str) -> Province | None:
    """The unit that a school's `province` names, in either language."""
    return next((one for one in PROVINCES if one.is_called(name)), None)
