import Glibc
package import ModelFiles

/// The rotary position embedding of a model: its frequencies, however a long context stretched them.
///
/// The formulas are those of `transformers`' `modeling_rope_utils`, in 32-bit floats as there.
package struct RotaryScaling: Sendable, Equatable {
  /// How positions beyond the training context are reached.
  package enum Kind: Sendable, Equatable {
    /// RoPE as published (Su et al., 2021).
    case plain
    /// Positions divided by a factor (Chen et al., 2023).
    case linear(factor: Double)
    /// Llama 3.1: low frequencies divided by a factor, high ones left, a ramp between.
    case llama3(factor: Double, low: Double, high: Double, original: Double)
    /// YaRN (Peng et al., 2023).
    case yarn(Yarn)
    /// One divisor a frequency (LongRoPE, with the same factors for short and long sequences).
    case factors([Float])
  }

  /// The parameters of YaRN.
  package struct Yarn: Sendable, Equatable {
    package var factor: Double
    package var original: Double
    package var betaFast = 32.0
    package var betaSlow = 1.0
    package var truncates = true
  }

  /// The base of the frequencies, `rope_theta`.
  package var base: Double
  /// The kind of stretching.
  package var kind: Kind
  /// What sines and cosines are multiplied by; 1 except for YaRN.
  package var attentionFactor: Float = 1
  /// The length of a head.
  package var headLength: Int

  /// Unstretched frequencies.
  package init(base: Double, headLength: Int) {
    self.base = base
    self.kind = .plain
    self.headLength = headLength
  }

  /// Reads `rope_parameters` (transformers 5), or `rope_scaling` and `rope_theta` (before).
  package init(_ configuration: JSONValue, headLength: Int, contextLength: Int) throws {
    let parameters =
      configuration["rope_parameters"] ?? configuration["rope_scaling"] ?? .object(JSONObject())
    guard parameters.objectValue != nil,
      !(parameters.objectValue?.members.contains { $0.value.objectValue != nil } ?? false)
    else {
      throw ModelError(.unsupported, "", "rotary parameters that differ between layers are not run here")
    }
    let reader = ConfigurationReader(parameters)
    let outer = ConfigurationReader(configuration)
    let base = try reader.positive("rope_theta") ?? outer.positive("rope_theta", default: 10000)
    self.init(base: base, headLength: headLength)
    let part =
      try reader.positive("partial_rotary_factor") ?? outer.positive("partial_rotary_factor", default: 1)
    guard part == 1 else {
      throw ModelError(.unsupported, "", "partial_rotary_factor \(part) is not run here (1 is)")
    }
    let original =
      try outer.positive("original_max_position_embeddings")
      ?? reader.positive("original_max_position_embeddings", default: Double(contextLength))
    try read(reader, original: original, contextLength: contextLength)
  }

  private mutating func read(_ reader: ConfigurationReader, original: Double, contextLength: Int) throws {
    let parameters = reader.configuration
    let type = parameters["rope_type"]?.stringValue ?? parameters["type"]?.stringValue ?? "default"
    func need(_ key: String) throws -> Double {
      guard let value = try reader.positive(key) else {
        throw ModelError(.badConfiguration, "", "rotary scaling '\(type)' needs '\(key)'")
      }
      return value
    }
    switch type {
    case "default", "none": kind = .plain
    case "linear": kind = .linear(factor: try need("factor"))
    case "llama3":
      let (low, high) = (try need("low_freq_factor"), try need("high_freq_factor"))
      guard high > low else {
        throw ModelError(
          .badConfiguration, "", "high_freq_factor \(high) is not above low_freq_factor \(low)")
      }
      kind = .llama3(factor: try need("factor"), low: low, high: high, original: original)
    case "yarn": try readYarn(reader, original: original, contextLength: contextLength)
    case "longrope", "su": try readFactors(reader, original: original, contextLength: contextLength)
    default:
      throw ModelError(
        .unsupported, "", "rotary scaling '\(type)' is not run here (linear, llama3 and yarn are)")
    }
  }

  private mutating func readYarn(
    _ reader: ConfigurationReader, original: Double, contextLength: Int
  ) throws {
    var yarn = Yarn(
      factor: try reader.positive("factor") ?? Double(contextLength) / original, original: original)
    yarn.betaFast = try reader.positive("beta_fast", default: 32)
    yarn.betaSlow = try reader.positive("beta_slow", default: 1)
    yarn.truncates = try reader.flag("truncate", default: true)
    kind = .yarn(yarn)
    if let given = try reader.positive("attention_factor") {
      attentionFactor = Float(given)
    } else if let scale = try reader.positive("mscale"), let all = try reader.positive("mscale_all_dim") {
      attentionFactor = Float(Self.magnitude(yarn.factor, scale) / Self.magnitude(yarn.factor, all))
    } else {
      attentionFactor = Float(Self.magnitude(yarn.factor))
    }
  }

  /// YaRN's temperature for a stretching by `factor`.
  package static func magnitude(_ factor: Double, _ scale: Double = 1) -> Double {
    factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
  }

  private mutating func readFactors(
    _ reader: ConfigurationReader, original: Double, contextLength: Int
  ) throws {
    func list(_ key: String) throws -> [Float] {
      let values = reader.configuration[key]?.arrayValue?.compactMap(\.doubleValue) ?? []
      guard values.count == headLength / 2, values.allSatisfy({ $0 > 0 && $0.isFinite }) else {
        throw ModelError(
          .badConfiguration, "",
          "'\(key)' must hold \(headLength / 2) numbers above 0 (head_dim \(headLength) / 2)")
      }
      return values.map { Float($0) }
    }
    let short = try list("short_factor")
    guard try list("long_factor") == short else {
      throw ModelError(
        .unsupported, "", "rotary scaling 'longrope' with other factors for long sequences is not run here")
    }
    kind = .factors(short)
    let factor = try reader.positive("factor") ?? Double(contextLength) / original
    let derived = factor <= 1 ? 1 : sqrt(1 + log(factor) / log(original))
    attentionFactor = Float(try reader.positive("attention_factor", default: derived))
  }
}

extension RotaryScaling {
  /// The angle a position, in radians: one for each pair of a head's elements (`headLength / 2`).
  package var frequencies: [Float] {
    let plain = (0..<headLength / 2).map { 1 / powf(Float(base), Float(2 * $0) / Float(headLength)) }
    switch kind {
    case .plain: return plain
    case .linear(let factor): return plain.map { $0 / Float(factor) }
    case .llama3: return zip(plain, divisors ?? []).map { $0 / $1 }
    case .yarn(let yarn): return yarnFrequencies(plain, yarn)
    case .factors(let factors): return zip(plain, factors).map { $0 / $1 }
    }
  }

  /// What each frequency is divided by where that is a table (`rope_freqs.weight` in GGUF); nil for the other kinds.
  package var divisors: [Float]? {
    switch kind {
    case .factors(let factors): return factors
    case .llama3(let factor, let low, let high, let original):
      return (0..<headLength / 2).map { place in
        let frequency = 1 / pow(base, Double(2 * place) / Double(headLength))
        let wavelength = 2 * Double.pi / frequency
        if wavelength < original / high { return 1 }
        if wavelength > original / low { return Float(factor) }
        let smooth = (original / wavelength - low) / (high - low)
        return Float(1 / ((1 - smooth) / factor + smooth))
      }
    default: return nil
    }
  }

  /// High frequencies stay, low ones are divided, with a ramp between the dimensions that turn `betaFast` and
  /// `betaSlow` times in the original context.
  private func yarnFrequencies(_ plain: [Float], _ yarn: Yarn) -> [Float] {
    func dimension(_ turns: Double) -> Double {
      Double(headLength) * log(yarn.original / (turns * 2 * Double.pi)) / (2 * log(base))
    }
    var (low, high) = (dimension(yarn.betaFast), dimension(yarn.betaSlow))
    if yarn.truncates { (low, high) = (floor(low), ceil(high)) }
    (low, high) = (max(low, 0), min(high, Double(headLength - 1)))
    if low == high { high += 0.001 }
    return plain.enumerated().map { place, frequency in
      let ramp = min(max((Float(place) - Float(low)) / Float(high - low), 0), 1)
      return frequency / Float(yarn.factor) * ramp + frequency * (1 - ramp)
    }
  }
}
