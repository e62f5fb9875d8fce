import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing

/// Models made smaller: what is cut must do nothing but go away.
@Suite("Cutting models")
struct CuttingTests {
  private let tokens = [1, 5, 9, 3, 7, 2, 11, 4]

  private func resizable(_ checkpoint: Checkpoint) throws -> any ResizableArchitecture {
    try #require(checkpoint.architecture as? any ResizableArchitecture)
  }

  private func outputs(_ checkpoint: Checkpoint) throws -> Matrix {
    switch try checkpoint.makeModel() {
    case .language(let model):
      model.forward(tokens, cache: model.makeCache(capacity: tokens.count), logits: .from(0))
    case .encoder(let model): model.embed([tokens])
    case .none(let reason): throw ModelError(.unsupported, "", reason)
    }
  }

  /// The checkpoint with every number changed that `change` gives another for: tensor, row, column → factor.
  private func scaled(_ checkpoint: Checkpoint, _ factor: (String, Int, Int) -> Float) throws -> Checkpoint {
    var result = checkpoint
    for place in result.tensors.indices {
      let tensor = result.tensors[place]
      var values = try tensor.values()
      let columns = tensor.shape.count < 2 ? 1 : tensor.rowLength
      for index in values.indices { values[index] *= factor(tensor.name, index / columns, index % columns) }
      result.tensors[place].format = .f32
      result.tensors[place].bytes = TensorBytes(ByteRegion(values.withUnsafeBytes { Array($0) }))
    }
    return result
  }

  private func expectSame(_ a: Matrix, _ b: Matrix, tolerance: Float = 1e-5) {
    let error = relativeError(a, b)
    #expect(error < tolerance, "\(error)")
  }

  @Test(
    "without some neurons and heads a model computes what it does with zeros in their place",
    arguments: TinyModel.language + TinyModel.encoders)
  func units(_ name: String) throws {
    let checkpoint = try TinyModel.checkpoint(name)
    let architecture = try resizable(checkpoint)
    for kind in [StructureKind.neurons, .heads] {
      guard let units = architecture.unitCount(kind), units > 1 else { continue }
      var cut = StructureCut(blocks: Array(0..<architecture.blockCount))
      // Others in each block.
      let kept = (0..<architecture.blockCount).map { block in (0..<units).filter { ($0 + block) % 2 == 0 } }
      guard Set(kept.map(\.count)).count == 1 else { continue }
      if kind == .neurons { cut.neurons = kept } else { cut.heads = kept }
      let smaller = try checkpoint.cutting(cut)
      #expect(smaller.parameterCount < checkpoint.parameterCount)
      let readers = (0..<architecture.blockCount).flatMap { block in
        architecture.coupledTensors(kind, block: block).filter { $0.axis == .columns }.map { ($0, block) }
      }
      let zeroed = try scaled(checkpoint) { name, _, column in
        guard let (member, block) = readers.first(where: { $0.0.name == name }) else { return 1 }
        return kept[block].contains(column / member.length) ? 1 : 0
      }
      expectSame(try outputs(smaller), try outputs(zeroed))
    }
  }

  @Test("without a block whose last matrices are zero nothing changes", arguments: TinyModel.language)
  func blocks(_ name: String) throws {
    let checkpoint = try TinyModel.checkpoint(name)
    let architecture = try resizable(checkpoint)
    for gone in 0..<architecture.blockCount {
      let smaller = try checkpoint.cutting(
        StructureCut(blocks: (0..<architecture.blockCount).filter { $0 != gone }))
      let prefix = architecture.blockPrefix(gone)
      let zeroed = try scaled(checkpoint) { name, _, _ in
        name.hasPrefix(prefix) && (name.contains("o_proj") || name.contains("down_proj")) ? 0 : 1
      }
      expectSame(try outputs(smaller), try outputs(zeroed))
    }
  }

  @Test(
    "without some channels a model computes what it does with zeros there, norms apart",
    arguments: TinyModel.language)
  func width(_ name: String) throws {
    let checkpoint = try TinyModel.checkpoint(name)
    let architecture = try resizable(checkpoint)
    let units = try #require(architecture.unitCount(.width))
    let kept = (0..<units).filter { $0 % 4 != 1 }
    var cut = StructureCut(blocks: Array(0..<architecture.blockCount))
    cut.width = kept
    let members = architecture.coupledTensors(.width, block: 0)
    // A norm's mean is over fewer channels.
    let factor = (Float(units) / Float(kept.count)).squareRoot()
    let smaller = try scaled(try checkpoint.cutting(cut)) { name, _, _ in
      members.contains { $0.name == name } && checkpoint.role(of: name) == .norm ? factor : 1
    }
    let zeroed = try scaled(checkpoint) { name, row, column in
      guard let member = members.first(where: { $0.name == name }) else { return 1 }
      return kept.contains(member.axis == .rows ? row : column) ? 1 : 0
    }
    expectSame(try outputs(smaller), try outputs(zeroed), tolerance: 1e-3)
  }

  @Test("the smaller model is a checkpoint like any other, in both containers", arguments: TinyModel.language)
  func containers(_ name: String) throws {
    let checkpoint = try TinyModel.checkpoint(name)
    let architecture = try resizable(checkpoint)
    var cut = StructureCut(blocks: [0])
    cut.neurons = [Array(0..<(architecture.unitCount(.neurons) ?? 0) / 2)]
    cut.heads = [[0]]
    cut.width = Array(0..<(architecture.unitCount(.width) ?? 0) / 2)
    let smaller = try checkpoint.cutting(cut)
    let again = try Checkpoint.load(TinyModel.throughGGUF(smaller))
    for key in [
      "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
      "head_dim",
    ] {
      #expect(again.configuration[key] == smaller.configuration[key], "\(key)")
    }
    expectSame(try outputs(again), try outputs(smaller))
    #expect(try smaller.safetensorsContents().configuration?.contains("\"num_hidden_layers\": 1") == true)
  }

  @Test("where the width is no multiple of the heads, the configuration is one that transformers loads")
  func loadable() throws {
    let checkpoint = try TinyModel.checkpoint("llama-tied")
    let architecture = try resizable(checkpoint)
    var cut = StructureCut(blocks: Array(0..<architecture.blockCount))
    let width = try #require(architecture.unitCount(.width))
    let heads = try #require(checkpoint.configuration["num_attention_heads"]?.intValue)
    cut.width = Array(0..<width - 1)
    #expect((width - 1) % heads != 0)
    let smaller = try checkpoint.cutting(cut)
    #expect(smaller.configuration["model_type"]?.stringValue == "mistral")
    let again = try Checkpoint.load(TinyModel.throughGGUF(smaller))
    #expect(again.configuration["model_type"]?.stringValue == "mistral")
    expectSame(try outputs(again), try outputs(smaller))
  }

  @Test("quantized tensors are refused")
  func refusals() throws {
    var checkpoint = try TinyModel.checkpoint("llama-tied")
    let place = try #require(checkpoint.tensors.firstIndex { $0.name.hasSuffix("down_proj.weight") })
    checkpoint.tensors[place].format = .q8_0
    var cut = StructureCut(blocks: [0, 1])
    cut.neurons = [[0], [1]]
    let error = #expect(throws: ModelError.self) { try checkpoint.cutting(cut) }
    #expect(error?.message.contains("is already quantized (q8_0): cut first, then quantize") == true)
  }
}
