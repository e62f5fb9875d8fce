/// Packs 8 six-bit scales and 8 six-bit minimums in 12 bytes, as q4_k and q5_k store them.
///
/// Bytes 0–3 hold scales 0–3 and, in their upper two bits, those of scales 4–7; bytes 4–7 the minimums alike;
/// bytes 8–11 the lower four bits of scales (low) and minimums (high) 4–7.
func packSixBitPairs(
  scales: UnsafePointer<UInt8>, minimums: UnsafePointer<UInt8>, into target: UnsafeMutablePointer<UInt8>
) {
  for j in 0..<4 {
    target[j] = scales[j] | (scales[j + 4] >> 4) << 6
    target[j + 4] = minimums[j] | (minimums[j + 4] >> 4) << 6
    target[j + 8] = (scales[j + 4] & 15) | (minimums[j + 4] & 15) << 4
  }
}

/// Packs 16 six-bit scales, given as −32…31, in 12 bytes, as q3_k stores them.
///
/// Bytes 0–7 hold the lower four bits of scales 0–7 (low) and 8–15 (high); bytes 8–11 the upper two bits of
/// scales j, j + 4, j + 8, j + 12.
func packSixBitScales(_ scales: UnsafePointer<Int8>, into target: UnsafeMutablePointer<UInt8>) {
  for j in 0..<12 { target[j] = 0 }
  for j in 0..<16 {
    let code = UInt8(scales[j] + 32)
    target[j % 8] |= (code & 15) << (j < 8 ? 0 : 4)
    target[8 + j % 4] |= (code >> 4) << UInt8(2 * (j / 4))
  }
}
