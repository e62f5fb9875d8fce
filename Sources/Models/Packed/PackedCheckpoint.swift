public import ModelFiles
import TensorCore

extension Checkpoint {
  /// The layout that quantized tensors get in a safetensors file: `wanted`, or what suits their formats; nil when there are
  /// none.
  ///
  /// - Throws: ``ModelError`` when a tensor does not fit the layout.
  public func packedLayout(_ wanted: PackedLayout?) throws -> PackedLayout? {
    let quantized = tensors.filter(\.format.isQuantized)
    let isOwn = tensors.contains {
      $0.format == .uniform8 || $0.format == .uniform16 || SparseBlob.suits($0)
    }
    guard !quantized.isEmpty || isOwn else { return nil }
    let layout = wanted ?? (isOwn ? .own : .compressedTensors)
    for tensor in quantized {
      if let obstacle = obstacle(tensor, layout) {
        throw ModelError(
          .unsupported, source.path, "tensor '\(tensor.name)' (\(tensor.format.rawValue)): \(obstacle)")
      }
    }
    if layout == .gptq, let first = quantized.first,
      let other = quantized.first(where: { $0.format != first.format })
    {
      throw ModelError(
        .unsupported, source.path,
        "the gptq layout has one group size a model; '\(first.name)' is \(first.format.rawValue), '\(other.name)' "
          + "\(other.format.rawValue): choose one that divides all rows")
    }
    return layout
  }

  /// Why a tensor cannot be stored in a layout; nil when it can.
  private func obstacle(_ tensor: StoredTensor, _ layout: PackedLayout) -> String? {
    guard tensor.name.hasSuffix(".weight"), tensor.shape.count == 2 else {
      return "only matrices whose names end in '.weight' can be quantized in safetensors; write GGUF instead"
    }
    switch tensor.format {
    case .int4_g32, .int4_g64, .int4_g128, .int8_channel: break
    case .w8a8 where layout == .own && SparseBlob.suits(tensor): break
    case .w8a8 where layout != .compressedTensors:
      return
        "the \(layout.rawValue) layout cannot say that activations are integers; use the compressed-tensors layout"
    case .w8a8: break
    case .uniform8, .uniform16:
      return layout == .own ? nil : "the \(layout.rawValue) layout has no uniform codes; leave the layout out"
    default:
      return
        "safetensors has no such blocks; use --format gguf, or int4.g128, int4.g64, int4.g32, int8.channel or w8a8"
    }
    guard layout != .own else { return nil }
    guard role(of: tensor).isLinear else {
      return
        "the \(layout.rawValue) layout quantizes linear layers; keep the \(role(of: tensor).rawValue) in bf16"
    }
    return layout == .gptq ? GPTQ.obstacle(tensor).map { "the gptq layout packs \($0)" } : nil
  }

  /// The tensors of a safetensors file, quantized ones in parts.
  func packedTensors(_ layout: PackedLayout) -> [StoredTensor] {
    let isSparse = layout == .own && tensors.contains(where: SparseBlob.suits)
    return tensors.flatMap { tensor -> [StoredTensor] in
      let module = String(tensor.name.dropLast(".weight".count))
      if isSparse, SparseBlob.suits(tensor) || SparseBlob.holds(tensor) {
        return [SparseBlob.stored(tensor, module: module)]
      }
      guard tensor.format.isQuantized else { return [tensor] }
      if tensor.format == .uniform8 || tensor.format == .uniform16 {
        return [UniformBlob.stored(tensor, module: module)]
      }
      return layout == .gptq
        ? GPTQ.parts(of: tensor, module: module) : CompressedTensors.parts(of: tensor, module: module)
    }
  }

  /// `quantization_config` for `config.json`.
  func quantizationConfiguration(_ layout: PackedLayout) -> JSONValue {
    switch layout {
    case .own:
      // Version 2 has sparse matrices.
      .object(
        JSONObject([
          ("quant_method", .string(layout.rawValue)),
          ("version", .integer(tensors.contains(where: SparseBlob.suits) ? 2 : 1)),
        ]))
    case .gptq: gptqConfiguration
    case .compressedTensors: compressedTensorsConfiguration
    }
  }

  private var gptqConfiguration: JSONValue {
    let format = tensors.first(where: \.format.isQuantized)?.format ?? .int4_g128
    return .object(
      JSONObject([
        ("quant_method", .string("gptq")), ("checkpoint_format", .string("gptq")),
        ("bits", .integer(GPTQ.bits(format))), ("group_size", .integer(Int4Codes.group(format) ?? -1)),
        ("sym", .bool(true)), ("desc_act", .bool(false)), ("lm_head", .bool(false)),
      ]))
  }

  // MARK: compressed-tensors

  private var compressedTensorsConfiguration: JSONValue {
    var schemes: [(format: TensorFormat, modules: [String])] = []
    var ignored: [String] = []
    for tensor in tensors where tensor.shape.count == 2 && tensor.name.hasSuffix(".weight") {
      let module = String(tensor.name.dropLast(".weight".count))
      if !tensor.format.isQuantized {
        if role(of: tensor).isLinear { ignored.append(module) }
      } else if let place = schemes.firstIndex(where: { $0.format == tensor.format }) {
        schemes[place].modules.append(module)
      } else {
        schemes.append((tensor.format, [module]))
      }
    }
    // The output layer is there in every decoder, stored or tied.
    if let output = architecture?.tie?.output { ignored.append(String(output.dropLast(".weight".count))) }
    let groups = schemes.enumerated().map { index, scheme in
      ("group_\(index)", group(scheme.format, targets: targets(scheme.modules, of: schemes.map(\.modules))))
    }
    let compression = Set(schemes.map { CompressedTensors.compression($0.format) }).sorted()
    return .object(
      JSONObject([
        ("quant_method", .string("compressed-tensors")),
        ("format", .string(compression.count == 1 ? compression[0] : "mixed-precision")),
        ("quantization_status", .string("compressed")), ("global_compression_ratio", .null),
        ("kv_cache_scheme", .null), ("ignore", .array(ignored.map { .string($0) })),
        ("config_groups", .object(JSONObject(groups))),
      ]))
  }

  private func group(_ format: TensorFormat, targets: [String]) -> JSONValue {
    let group = Int4Codes.group(format)
    return .object(
      JSONObject([
        ("targets", .array(targets.map { .string($0) })),
        ("input_activations", format == .w8a8 ? CompressedTensors.tokenActivations : .null),
        ("output_activations", .null), ("format", .string(CompressedTensors.compression(format))),
        (
          "weights",
          .object(
            JSONObject([
              ("num_bits", .integer(GPTQ.bits(format))), ("type", .string("int")), ("symmetric", .bool(true)),
              ("strategy", .string(group == nil ? "channel" : "group")),
              ("group_size", group.map { .integer($0) } ?? .null), ("dynamic", .bool(false)),
              ("actorder", .null), ("block_structure", .null), ("observer", .string("minmax")),
              ("observer_kwargs", .object(JSONObject())),
            ]))
        ),
      ]))
  }

  /// All linear layers where there is one scheme in a decoder; else layers of some kinds where all blocks agree; else by name.
  private func targets(_ modules: [String], of schemes: [[String]]) -> [String] {
    guard let architecture, !architecture.isEncoder else { return modules }
    if schemes.count == 1 { return ["Linear"] }
    func kinds(_ modules: [String]) -> Set<String> {
      Set(modules.map { $0.split(separator: ".").last.map(String.init) ?? $0 })
    }
    let mine = kinds(modules)
    let others = schemes.filter { $0 != modules }.map(kinds)
    guard others.allSatisfy({ $0.isDisjoint(with: mine) }) else { return modules }
    return mine.sorted().map { "re:.*\\.\($0)$" }
  }
}
