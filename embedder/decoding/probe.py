"""Tells whether the libraries installed here give the pixels that fingerprints promise.

Pillow, simplejpeg and cykooz-resizer decode and resize. Their versions may round in another way, which vectors bear,
see docs/design.md. More than that is another preprocessing, and a store must not mix the two. So a few small pictures
go through all of it once in a process, in a few milliseconds, and are compared with what they were.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from embedder.decoding.decoder import load, reduce_scale
from embedder.decoding.fitting import Fitter
from embedder.records import PREPROCESSING_VERSION, Pixels, Preprocessing

logger = logging.getLogger("embedder")

SIDE = 6
"""Of a probe's pixels, after resizing and cropping."""

ROUNDING = 1
"""How many levels a number may be off. A JPEG's colours interpolated in another way are off by dozens."""

Decode = Callable[[bytes, Preprocessing, bool], Pixels]
"""From a file to pixels; the last argument is the `exact` of a `Decoder`.

Raises:
    UnidentifiedImageError: the format is not known here.
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """A small picture, and the pixels that it had when `PREPROCESSING_VERSION` was given out."""

    interpolation: Literal["bilinear", "bicubic"]
    file: str
    """The image file, in base 85."""
    pixels: str
    """The numbers of `SIDE` × `SIDE` RGB pixels, in base 85."""


@cache
def preprocessing_version() -> str:
    """Return what fingerprints say of decoding and resizing here, and warn if it is not what they usually say."""
    found = version_by(_decode)
    if found != PREPROCESSING_VERSION:
        logger.warning(
            "Pillow, simplejpeg or cykooz-resizer, as they are installed here, give other pixels than those "
            "that embedder was tested with; so its vectors are marked %s, and kept apart from those marked %s",
            found,
            PREPROCESSING_VERSION,
        )
    return found


def version_by(decode: Decode) -> str:
    """Return the version of the preprocessing that decodes and resizes in this way.

    Returns:
        `PREPROCESSING_VERSION` where no number of a probe is further off than by rounding; else with eight hex digits
        that tell one such way from others. A format that cannot be decoded has no pixels, and changes nothing.
    """
    found = list(_compared(decode))
    if all(np.abs(seen.astype(int) - expected).max() <= ROUNDING for seen, expected in found):
        return PREPROCESSING_VERSION
    numbers = b"".join(seen.tobytes() for seen, _ in found)
    return f"{PREPROCESSING_VERSION}-{hashlib.sha256(numbers).hexdigest()[:8]}"


def _compared(decode: Decode) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield the pixels of each probe, and what they were."""
    for probe in PROBES:
        preprocessing = Preprocessing(
            resize=SIDE, crop=SIDE, interpolation=probe.interpolation, mean=(0, 0, 0), std=(1, 1, 1)
        )
        file = base64.b85decode(probe.file)
        expected = np.frombuffer(base64.b85decode(probe.pixels), np.uint8).reshape(SIDE, SIDE, 3)
        for exact in (True, False):
            with suppress(UnidentifiedImageError):
                yield decode(file, preprocessing, exact), expected


def _decode(file: bytes, preprocessing: Preprocessing, exact: bool) -> Pixels:
    """Decode as a `Decoder` does, but change no setting of Pillow's: this runs in programs of others."""
    with Image.open(io.BytesIO(file), formats=("JPEG", "WEBP", "AVIF")) as image:
        reduce_scale(image, preprocessing)
        picture, _ = load(image, file)
        return Fitter(preprocessing, exact=exact).fit(picture, 1)


HALVED_COLOURS = (
    "|JeWF01!$>Nk#wx0RR9200961|JwjV01XKW3knDg3knMk4h;_zAQcl55)&sJ9v2`kDKRiEDJ?8BI!Zn>HbyrrEkIX6ModmpQ&KWMT47p"
    "HU`kO^PygEhLjevB4iga*CKVMXPc<zyPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPf!2A01*fP5&#"
    "$j0U`hb5di}c0sq7R82|wQ0|5a50000000000000031O^2M|HJ?z5C8!L0R#aB0000000000009630}%uT5+PABH9>Qsvj4;Y76AbP0R"
    "R910000000000000C92LHqWClLSv0t5pI0RR9100000000310s{mE5g|cw6e2TGVS$mc(eVG;01N{G00I#M5dc2`&$A3PSqgaB8%P9k+"
    "U(1wx>$CygRaH+RiV-IWRb0Odm2wJBpUlvDis-q#oRUtG+5G+CCj3^&eq;JsUgG!0tJKaiiG-xW-d&)@l8yL<&Cy9@C|f{TQuXqa3db4"
    ";zMgt*@chp>tz@n1!gch2#O6yHHMJMdG4#~*`GWA07VfN&R>Mx2c=Z6|Je"
)
"""A JPEG, in base 85, whose colours are halved in both directions."""

PROBES = (
    Probe(
        "bilinear",
        HALVED_COLOURS,
        "DJSPnB-M8z)r}$Hs3YLSC(l7d&W19QvL<z<G<&r~r_V*TXH=!cBueZTCEyz?#zSJ%X`WkpovSoL;2b5<BruLmcVSVlKDNVvf_|@CQLk`"
        "VdxEbUI?g@W&tKQ9a@>%P-F$PVrW!rd",
    ),
    Probe(
        "bicubic",
        HALVED_COLOURS,
        "Cno7iB-nEy+lnFSrXc0RCD1)Z(1$XSwj^?)H+i#0s?bEXXH=!mAVKvM9px7y$U$7(Z=P9uoUbf6=M)~-94U)TbX`=lI=aVygMPABPPTJ"
        "bdWN$PGtoWT(O%rJY~+-Z>U(slqZT*S",
    ),
    Probe(  # a JPEG that is decoded at half its scale
        "bilinear",
        "|JeWF01!$>Nk#wx0RR9200961|JwjV05v5jFDM~3FDoxRIW<2}g;!8XNl>G8dtrsas>{f}s=Bw;@c;kS;{WEiy8r+G|NsC0|NqYa|NsC"
        "0|NsC0|Nq+nLjgHFJWxhZomW?#|J=IV|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|NsBM01*fPTL4"
        "@G0U`hb5di}c0sq7R82|wR0RaI40000000000000010|EpE|HJ?y5CH)I0s#XA0{{R300000000pI0s|p2p%N28QZjLo|HJ?p0RRF60R"
        "R91000000000000IL51O);A!~h-<0RaF40|5X70000000000009CK0}>%o1TkU%+5ij#0RRFK0}%i}0P)3(7B6fPq*$<yY;uud76)UMB"
        "E^dw*yTvEVI0`yBEl>V$14a$iw)a4REnriCnsMa{CIZug#tU}^=GC(9b+pTJJUCy@#No>8DXzt#fu0%xhV*-V0JlJMT-_6YdTjMMccY5"
        "=XaH8@y%lZ0x-sAXd*YqRffNgKT8eTxd^dfb~#wWELgK^Hdb5WY~`-{+;s1TO4-d;mkwR9fB-ZGoH}~8zZgd?)Z09A?~F`m!S8Z?yf_#"
        "7<ME%`yZ5<1-WT5F`*>z2Ony7s{d(fXgeui(QZwI+=U?M!u)MuH4DL5^<IXdV_=DLN7h=r(kK@g!4%>I>hofC_t|mJySP*5&a{az=4HA"
        "G69_X<}YOM%G0Y?Z$Qtcc_uu|<ZK3EM$01+Sm*#",
        "ASvrZDd=q|*^(&Nx+d1$Cd?s9=VU#wv?pP;Gk>~Bx7$gwDr?`SI9=NxCf6h`!CZ*dZkHyK+^9od*&ip+CNXMCrc_bKA-dpbl%TL!Qmk@"
        "YGgr$JKItCb*hAdDY1o{H(t$E!%@RK8",
    ),
    Probe(  # WebP, lossy
        "bilinear",
        "Qb|Te<NyEwS4BclR!}$~*Z=?k@CE>#0V)^(5&%B6P@qgFB%>lI3aH=~iEIF!GUISJi)_HjE9Hw2AKS2s|3E5}z&H1YFpJV|hx{Fj;V_s"
        "00RHSm7b)*JsRm%vHLNq&#nRmIz0mD=$5?wW{z{fV^*0l!&3a&+sn|#2!UyTtSYfIA3E#N&LohJOVCc<TT?o^Uf-?sTOh$I4NKr^bSn0"
        "PSVrJjY+`0icK-kGQC2miQ3xCL0yc6E3@Gt1A2h7tI8;#>=dL<=ToE%fdiJ;L<*ZLCyY_1y}$%wPun0Nq~m|y?^",
        "HzV>>B<^h~;f5>Jq$kzKC)qki)r2*ZuPbz~F@U!~sm(>VT2idTDMR5OEZHGB!$ob&YM5Jlrot{n;vO{MAUB;xbyiWbKeNS(fp@TBQnGJ"
        "dfP}CbJJ>ec&RE^5ao>=U-iC3frxrZa",
    ),
    Probe(  # AVIF
        "bilinear",
        "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh20002%ZDn*}000000000XXk=`10000000000aA{+7000000000000000000004sdC"
        "7Z2$lO000310016oY;R)#0000)000310RR910RR926951JzW@LLC~0YKW&i*H00031000_kZf0cy000000RRADb}%tRZ)|UJ00000YH4"
        "tCZ~y=ROKEUpZvX%Q6lrsCWdHyG000007ytkO5&!@I5O8UDX#fBK00RgJ2mk;83}JRLLxBJc000006Ju{|a&BX6cmM$a4FCp!0000NX>"
        "e^}0000000001009I60)qqq0075rWMOm?0162h5ib^q2xv4QGOqy_hlhqCgpx@nRaF28&#@BBw8;tYy%`9C!A!z+96P$tDVU>r7AE_PT"
        "Nnm`xf2IYEyne{$o9|w4U%flN0LpE>76L;gZ2ohjw(V!{lIk@>PtXOA#!{9maKN*9qGd!%E0A*6CGwA%4y5H#$xR<MD}v?*QZ6(MdQLd"
        "_ZSMM@`JxLcvpy%I>J+6rDA613xwPBbi8w#WE4!WU{a3#i2-jOUktFrmDzsV$^H",
        "GA8IzCf;x*-HjyFtR>UOCdoZS)rT{VvnXq|Eq%8^uF6NXVO6cjCO+UDE7~70!b5D!ZlGRxs>Lfk-X1B}AuXCla9UEfLbJt-etoc9QM7M"
        "Zc!s4GJkvGa&Q#v7bKR7Y+<|VTr4>HW",
    ),
)
