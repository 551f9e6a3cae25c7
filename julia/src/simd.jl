# Eight Float64 side by side. LLVM splits the operations where the processor's registers are
# shorter, so the code runs anywhere; the pair sums over large catalogs use it.

const Vec = NTuple{8,VecElement{Float64}}

@inline splat8(x::Float64) = ntuple(_ -> VecElement(x), Val(8))
@inline vload(a::Vector{Float64}, i::Int) = unsafe_load(Ptr{Vec}(pointer(a, i)))
@inline vsum(v::Vec) = ((v[1].value + v[5].value) + (v[2].value + v[6].value)) +
                       ((v[3].value + v[7].value) + (v[4].value + v[8].value))

for (name, op) in ((:vadd, "fadd"), (:vsub, "fsub"), (:vmul, "fmul"), (:vdiv, "fdiv"))
    ir = """%3 = $op contract <8 x double> %0, %1
            ret <8 x double> %3"""
    @eval @inline $name(a::Vec, b::Vec) = Base.llvmcall($ir, Vec, Tuple{Vec,Vec}, a, b)
end

"a * b + c, fused where the processor can."
@inline vfma(a::Vec, b::Vec, c::Vec) = Base.llvmcall("""
    %4 = fmul contract <8 x double> %0, %1
    %5 = fadd contract <8 x double> %4, %2
    ret <8 x double> %5""", Vec, Tuple{Vec,Vec,Vec}, a, b, c)

"c - a * b, fused where the processor can."
@inline vfnma(a::Vec, b::Vec, c::Vec) = Base.llvmcall("""
    %4 = fmul contract <8 x double> %0, %1
    %5 = fsub contract <8 x double> %2, %4
    ret <8 x double> %5""", Vec, Tuple{Vec,Vec,Vec}, a, b, c)

"acc + (a < b ? x : 0)."
@inline vaddless(acc::Vec, x::Vec, a::Vec, b::Vec) = Base.llvmcall("""
    %5 = fcmp olt <8 x double> %2, %3
    %6 = fadd <8 x double> %0, %1
    %7 = select <8 x i1> %5, <8 x double> %6, <8 x double> %0
    ret <8 x double> %7""", Vec, NTuple{4,Vec}, acc, x, a, b)

"acc + x in the lanes whose bits are set, the first the lowest."
@inline vaddif(acc::Vec, x::Vec, bits::UInt8) = Base.llvmcall("""
    %4 = bitcast i8 %2 to <8 x i1>
    %5 = fadd <8 x double> %0, %1
    %6 = select <8 x i1> %4, <8 x double> %5, <8 x double> %0
    ret <8 x double> %6""", Vec, Tuple{Vec,Vec,UInt8}, acc, x, bits)

"acc + x in the lanes in which low < t <= high."
@inline vaddwithin(acc::Vec, x::Vec, t::Vec, low::Vec, high::Vec) = Base.llvmcall("""
    %6 = fcmp ogt <8 x double> %2, %3
    %7 = fcmp ole <8 x double> %2, %4
    %8 = and <8 x i1> %6, %7
    %9 = fadd <8 x double> %0, %1
    %10 = select <8 x i1> %8, <8 x double> %9, <8 x double> %0
    ret <8 x double> %10""", Vec, NTuple{5,Vec}, acc, x, t, low, high)

"x in the lanes whose bits are set, else a."
@inline vput(a::Vec, x::Vec, bits::UInt8) = Base.llvmcall("""
    %4 = bitcast i8 %2 to <8 x i1>
    %5 = select <8 x i1> %4, <8 x double> %1, <8 x double> %0
    ret <8 x double> %5""", Vec, Tuple{Vec,Vec,UInt8}, a, x, bits)

"Bits of the lanes in which a <= b."
@inline vleast_bits(a::Vec, b::Vec) = Base.llvmcall("""
    %3 = fcmp ole <8 x double> %0, %1
    %4 = bitcast <8 x i1> %3 to i8
    ret i8 %4""", UInt8, Tuple{Vec,Vec}, a, b)

"a == 0 ? x : y."
@inline vifzero(a::Vec, x::Vec, y::Vec) = Base.llvmcall("""
    %4 = fcmp oeq <8 x double> %0, zeroinitializer
    %5 = select <8 x i1> %4, <8 x double> %1, <8 x double> %2
    ret <8 x double> %5""", Vec, NTuple{3,Vec}, a, x, y)

splat_ir(n) = string("<", join(fill("i64 $n", 8), ", "), ">")
const SQRT_HALF = reinterpret(Int64, sqrt(0.5))

@inline vsqrt(a::Vec) = map(e -> VecElement(Base.sqrt_llvm(e.value)), a)

# log(m) = 2 atanh(f), f = (m - 1)/(m + 1), with m in [sqrt(1/2), sqrt(2)): |f| < 0.172
const LOG_SERIES = ntuple(k -> 2 / (2k - 1), 10)

const LOG_EXPONENT = """
    %2 = bitcast <8 x double> %0 to <8 x i64>
    %3 = sub <8 x i64> %2, $(splat_ir(SQRT_HALF))
    %4 = ashr <8 x i64> %3, $(splat_ir(52))
    """

# The exponent that leaves a mantissa in [sqrt(1/2), sqrt(2)), as a number; and that mantissa.
@eval @inline exponent8(a::Vec) = Base.llvmcall($("""$LOG_EXPONENT
    %5 = sitofp <8 x i64> %4 to <8 x double>
    ret <8 x double> %5"""), Vec, Tuple{Vec}, a)
@eval @inline mantissa8(a::Vec) = Base.llvmcall($("""$LOG_EXPONENT
    %5 = shl <8 x i64> %4, $(splat_ir(52))
    %6 = sub <8 x i64> %2, %5
    %7 = bitcast <8 x i64> %6 to <8 x double>
    ret <8 x double> %7"""), Vec, Tuple{Vec}, a)

# 1/x for x from low to high, by the straight line that is nearest to it, and two rounds that each leave
# the cube of the error: processors divide eight numbers in the time of a dozen such steps.
@inline function vinverse(x::Vec, low, high)
    one8, slope = splat8(1.0), 8 / (low^2 + 6low * high + high^2)
    y = vfnma(x, splat8(slope), splat8(slope * (low + high)))
    e = vfnma(x, y, one8)
    y = vfma(vmul(y, e), vadd(e, one8), y)
    e = vfnma(x, y, one8)
    return vfma(vmul(y, e), vadd(e, one8), y)
end

"Natural logarithm of positive normal numbers, to a few units in the last place."
@inline function vlog(a::Vec)
    m = mantissa8(a)
    f = vmul(vsub(m, splat8(1.0)), vinverse(vadd(m, splat8(1.0)), 1 + sqrt(0.5), 1 + sqrt(2.0)))
    ff = vmul(f, f)
    sum = splat8(LOG_SERIES[10])
    k = 9
    while k > 0
        sum = vfma(sum, ff, splat8(LOG_SERIES[k]))
        k -= 1
    end
    return vfma(exponent8(a), splat8(log(2.0)), vmul(sum, f))
end

"a + x where a is 0, else a."
@inline vguard(a::Vec, x::Vec) = vifzero(a, x, a)

# ---- formulas that are written once ----------------------------------------------------------------

"Eight numbers in the place of one: what has no branches is written once for both."
struct Lanes
    v::Vec
end
Lanes(x::Real) = Lanes(splat8(Float64(x)))

for (op, name) in ((:+, :vadd), (:-, :vsub), (:*, :vmul), (:/, :vdiv))
    @eval @inline Base.$op(a::Lanes, b::Lanes) = Lanes($name(a.v, b.v))
    @eval @inline Base.$op(a::Lanes, b::Real) = Lanes($name(a.v, splat8(Float64(b))))
    @eval @inline Base.$op(a::Real, b::Lanes) = Lanes($name(splat8(Float64(a)), b.v))
end
@inline Base.:-(a::Lanes) = 0.0 - a
@inline Base.zero(::Lanes) = Lanes(0.0)
@inline Base.one(::Lanes) = Lanes(1.0)
"1/n; of lanes that are 0, 1."
@inline guarded_inverse(n::Lanes) = Lanes(vdiv(splat8(1.0), vguard(n.v, splat8(1.0))))

# ---- lanes among each other ------------------------------------------------------------------------

const ONES = string("<", join(fill("double 1.0", 8), ", "), ">")
lanes_ir(lanes) = string("<", join(["i32 $k" for k in lanes], ", "), ">")

# The lanes of `a` where a number below 8 stands, and 1 elsewhere.
for (name, lanes) in ((:vodd, (8, 1, 8, 3, 8, 5, 8, 7)), (:vpairs, (8, 8, 2, 3, 8, 8, 6, 7)),
                      (:vhalf, (8, 8, 8, 8, 4, 5, 6, 7)))
    ir = """%2 = shufflevector <8 x double> %0, <8 x double> $ONES, <8 x i32> $(lanes_ir(lanes))
            ret <8 x double> %2"""
    @eval @inline $name(a::Vec) = Base.llvmcall($ir, Vec, Tuple{Vec}, a)
end

for (name, lanes) in ((:vfirst, (0, 1, 2, 3, 8, 9, 10, 11)), (:vlast, (4, 5, 6, 7, 12, 13, 14, 15)),
                      (:vevens, (0, 8, 2, 10, 4, 12, 6, 14)), (:vodds, (1, 9, 3, 11, 5, 13, 7, 15)),
                      (:vtwos, (0, 1, 8, 9, 4, 5, 12, 13)), (:vtwins, (2, 3, 10, 11, 6, 7, 14, 15)))
    ir = """%3 = shufflevector <8 x double> %0, <8 x double> %1, <8 x i32> $(lanes_ir(lanes))
            ret <8 x double> %3"""
    @eval @inline $name(a::Vec, b::Vec) = Base.llvmcall($ir, Vec, Tuple{Vec,Vec}, a, b)
end

"Columns of eight rows."
@inline function vtranspose(a1, a2, a3, a4, a5, a6, a7, a8)
    e1, e2, e3, e4 = vevens(a1, a2), vevens(a3, a4), vevens(a5, a6), vevens(a7, a8)
    o1, o2, o3, o4 = vodds(a1, a2), vodds(a3, a4), vodds(a5, a6), vodds(a7, a8)
    c1, c3, d1, d3 = vtwos(e1, e2), vtwins(e1, e2), vtwos(e3, e4), vtwins(e3, e4)
    c2, c4, d2, d4 = vtwos(o1, o2), vtwins(o1, o2), vtwos(o3, o4), vtwins(o3, o4)
    return vfirst(c1, d1), vfirst(c2, d2), vfirst(c3, d3), vfirst(c4, d4),
           vlast(c1, d1), vlast(c2, d2), vlast(c3, d3), vlast(c4, d4)
end

# Rows of a square of 8 x 8 numbers from its columns: three rounds of exchanges.
function transpose_ir()
    lines = String[]
    names = ["%$k" for k in 0:7]
    for (round, distance) in enumerate((1, 2, 4))
        next = copy(names)
        for k in 0:7
            k & distance == 0 || continue
            for (m, target) in ((0, k), (1, k + distance))
                mask = [(lane & distance == 0 ? lane + m * distance :
                         8 + lane - distance + m * distance) for lane in 0:7]
                name = "%r$(round)_$(target)"
                push!(lines, string(name, " = shufflevector <8 x double> ", names[k + 1],
                                    ", <8 x double> ", names[k + distance + 1], ", <8 x i32> <",
                                    join(("i32 $i" for i in mask), ", "), ">"))
                next[target + 1] = name
            end
        end
        names = next
    end
    value = "undef"
    for k in 0:7
        push!(lines, string("%a$k = insertvalue [8 x <8 x double>] $value, <8 x double> ",
                            names[k + 1], ", $k"))
        value = "%a$k"
    end
    push!(lines, "ret [8 x <8 x double>] $value")
    return join(lines, "\n")
end

@eval @inline transpose8(a::Vec, b::Vec, c::Vec, d::Vec, e::Vec, f::Vec, g::Vec, h::Vec) =
    Base.llvmcall($(transpose_ir()), NTuple{8,Vec}, Tuple{Vec,Vec,Vec,Vec,Vec,Vec,Vec,Vec},
                  a, b, c, d, e, f, g, h)

"Lane by lane the greater one."
@inline vgreatest(a::Vec, b::Vec) = Base.llvmcall("""
    %3 = fcmp ogt <8 x double> %0, %1
    %4 = select <8 x i1> %3, <8 x double> %0, <8 x double> %1
    ret <8 x double> %4""", Vec, Tuple{Vec,Vec}, a, b)

"Lane by lane the lesser one."
@inline vleast(a::Vec, b::Vec) = Base.llvmcall("""
    %3 = fcmp olt <8 x double> %0, %1
    %4 = select <8 x i1> %3, <8 x double> %0, <8 x double> %1
    ret <8 x double> %4""", Vec, Tuple{Vec,Vec}, a, b)

const RSQRT_SEED = 0x5fe6eb50c7b537a9

@eval @inline rsqrt_seed(a::Vec) = Base.llvmcall($("""
    %2 = bitcast <8 x double> %0 to <8 x i64>
    %3 = lshr <8 x i64> %2, $(splat_ir(1))
    %4 = sub <8 x i64> $(splat_ir(Int64(RSQRT_SEED))), %3
    %5 = bitcast <8 x i64> %4 to <8 x double>
    ret <8 x double> %5"""), Vec, Tuple{Vec}, a)

"""
1/sqrt(a) of normal numbers, to two units in the last place: by the series of (1 - e)^(-1/2) from a seed
that is right to 3 %, and once more.
"""
@inline function rsqrt8(a::Vec)
    y, one8 = rsqrt_seed(a), splat8(1.0)
    e = vfnma(vmul(a, y), y, one8)
    y = vfma(vmul(y, e), vfma(vfma(splat8(0.3125), e, splat8(0.375)), e, splat8(0.5)), y)
    e = vfnma(vmul(a, y), y, one8)
    return vfma(vmul(y, e), vfma(splat8(0.375), e, splat8(0.5)), y)
end

"Bits of the lanes in which low < t <= high."
@inline within8(t::Vec, low::Vec, high::Vec) = Base.llvmcall("""
    %4 = fcmp ogt <8 x double> %0, %1
    %5 = fcmp ole <8 x double> %0, %2
    %6 = and <8 x i1> %4, %5
    %7 = bitcast <8 x i1> %6 to i8
    ret i8 %7""", UInt8, Tuple{Vec,Vec,Vec}, t, low, high)

@inline dot8(ax, ay, az, bx, by, bz) = vfma(az, bz, vfma(ay, by, vmul(ax, bx)))

# ---- the bits of eight numbers -------------------------------------------------------------------

const IntVec = NTuple{8,VecElement{Int64}}

@inline splat8(x::Int64) = ntuple(_ -> VecElement(x), Val(8))

"The bits without their last `n`, less `from`; at most `most`, which what is below 0 becomes as well."
@inline vcell(a::Vec, n::IntVec, from::IntVec, most::IntVec) = Base.llvmcall("""
    %5 = bitcast <8 x double> %0 to <8 x i64>
    %6 = lshr <8 x i64> %5, %1
    %7 = sub <8 x i64> %6, %2
    %8 = icmp ult <8 x i64> %7, %3
    %9 = select <8 x i1> %8, <8 x i64> %7, <8 x i64> %3
    ret <8 x i64> %9""", IntVec, Tuple{Vec,IntVec,IntVec,IntVec}, a, n, from, most)

# The mantissa without its first `n` bits, as a number in [1, 2).
@eval @inline vfraction(a::Vec, n::IntVec) = Base.llvmcall($("""
    %3 = bitcast <8 x double> %0 to <8 x i64>
    %4 = shl <8 x i64> %3, %1
    %5 = and <8 x i64> %4, $(splat_ir(0x000fffffffffffff % Int64))
    %6 = or <8 x i64> %5, $(splat_ir(0x3ff0000000000000 % Int64))
    %7 = bitcast <8 x i64> %6 to <8 x double>
    ret <8 x double> %7"""), Vec, Tuple{Vec,IntVec}, a, n)

# The inverse of the power of two at or below a positive number.
@eval @inline vinverse2(a::Vec) = Base.llvmcall($("""
    %2 = bitcast <8 x double> %0 to <8 x i64>
    %3 = and <8 x i64> %2, $(splat_ir(0x7ff0000000000000 % Int64))
    %4 = sub <8 x i64> $(splat_ir(0x7fe0000000000000 % Int64)), %3
    %5 = bitcast <8 x i64> %4 to <8 x double>
    ret <8 x double> %5"""), Vec, Tuple{Vec}, a)

"Bits of the lanes that are equal, the first the lowest."
@inline vequal(a::IntVec, b::IntVec) = Base.llvmcall("""
    %3 = icmp eq <8 x i64> %0, %1
    %4 = bitcast <8 x i1> %3 to i8
    ret i8 %4""", UInt8, Tuple{IntVec,IntVec}, a, b)
