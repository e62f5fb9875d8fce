#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

extension LlamaGraph.Rotary {
  /// Cosine and sine.
  static func turn(_ angle: Double) -> (cosine: Double, sine: Double) { (cos(angle), sin(angle)) }
}
