# Eight Float64 side by side. LLVM splits the operations where the processor's registers are
# shorter, so the code runs anywhere; only the pair sums over large catalogs use it.

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

"Natural logarithm of positive normal numbers, to a few units in the last place."
@inline function vlog(a::Vec)
    m = mantissa8(a)
    f = vdiv(vsub(m, splat8(1.0)), vadd(m, splat8(1.0)))
    ff = vmul(f, f)
    sum = splat8(LOG_SERIES[10])
    k = 9
    while k > 0
        sum = vfma(sum, ff, splat8(LOG_SERIES[k]))
        k -= 1
    end
    return vfma(exponent8(a), splat8(log(2.0)), vmul(sum, f))
end
