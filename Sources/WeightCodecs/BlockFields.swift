import TensorCore

/// The half-precision number at `place`, little endian.
func half(at place: UnsafePointer<UInt8>) -> Float {
  let bits = UInt16(place[0]) | UInt16(place[1]) << 8
  var value: Float = 0
  withUnsafeBytes(of: bits.littleEndian) {
    if let base = $0.baseAddress { Kernels.decode(base, as: .f16, into: &value, count: 1) }
  }
  return value
}

/// Packs 32 codes in 16 bytes: code j in the low, code j + 16 in the high half of byte j.
func storeNibbles(_ codes: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>) {
  for j in 0..<16 { target[j] = (codes[j] & 15) | (codes[j + 16] & 15) << 4 }
}

/// Packs the fifth bits of 32 codes in 4 bytes, bit j for code j.
func storeFifthBits(_ codes: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>) {
  for byte in 0..<4 {
    var bits: UInt8 = 0
    for j in 0..<8 { bits |= (codes[byte * 8 + j] >> 4 & 1) << UInt8(j) }
    target[byte] = bits
  }
}

/// Packs the lower four bits of 256 codes in 128 bytes, as q4_k and q5_k store them: 32 bytes hold 64 codes.
func storeHalves(_ codes: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>) {
  for pair in 0..<4 {
    for l in 0..<32 {
      target[32 * pair + l] = (codes[64 * pair + l] & 15) | (codes[64 * pair + l + 32] & 15) << 4
    }
  }
}

/// Packs bit `bit` of 256 codes in 32 bytes: bit g of byte l is that of code 32·g + l.
func storeBit(_ bit: UInt8, of codes: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>) {
  for l in 0..<32 {
    var bits: UInt8 = 0
    for group in 0..<8 { bits |= (codes[32 * group + l] >> bit & 1) << UInt8(group) }
    target[l] = bits
  }
}

/// Packs the lower two bits of 256 codes in 64 bytes, as q2_k and q3_k store them: byte l of each half holds
/// codes l, l + 32, l + 64 and l + 96 of that half.
func storeQuarters(_ codes: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>) {
  for half in 0..<2 {
    let (codes, target) = (codes + 128 * half, target + 32 * half)
    for l in 0..<32 {
      let low = (codes[l] & 3) | (codes[l + 32] & 3) << 2
      target[l] = low | (codes[l + 64] & 3) << 4 | (codes[l + 96] & 3) << 6
    }
  }
}

/// The scales and offsets that 8 six-bit scales and minimums stand for: d·scale and −dmin·minimum, as q4_k and q5_k
/// store them; `block` begins with d and dmin.
func readSixBitPairs(
  _ block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
  _ offsets: UnsafeMutablePointer<Float>
) {
  let (d, dmin, packed) = (half(at: block), half(at: block + 2), block + 4)
  for j in 0..<4 {
    scales[j] = d * Float(packed[j] & 63)
    offsets[j] = -(dmin * Float(packed[j + 4] & 63))
    scales[j + 4] = d * Float((packed[j + 8] & 15) | (packed[j] >> 6) << 4)
    offsets[j + 4] = -(dmin * Float(packed[j + 8] >> 4 | (packed[j + 4] >> 6) << 4))
  }
}

/// IQ4's table of levels.
let iq4Levels: [Float] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
