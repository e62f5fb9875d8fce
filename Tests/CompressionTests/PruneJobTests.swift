import Compression
import Evaluation
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import Testing
import WeightCodecs

/// Whole jobs that prune, on the reference model.
@Suite("Pruning jobs", .serialized)
struct PruneJobTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  private static let model = root + "/Calibration/reference/model.bin"

  /// The stages' artifacts as they were read back, and their reports.
  private func run(
    _ stages: [any Pass], container: OutputContainer = .gguf, tokens: Int = 1024
  ) throws -> (models: [Checkpoint], reports: [StageReport]) {
    let folder = FileManager.default.temporaryDirectory.path + "/compress-prune-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var recipe = Recipe(stages: stages)
    recipe.container = container
    recipe.evaluation.tokens = 1024
    recipe.evaluation.latency = false
    recipe.evaluation.frontier = false
    recipe.calibration.tokens = tokens
    let outcome = try Job(model: Self.model, recipe: recipe, output: folder).run()
    var models: [Checkpoint] = []
    for report in outcome.report.stages {
      let path = "\(folder)/\(report.index)-\(report.name)/\(report.artifact.file)"
      var model = try Checkpoint.load(try ModelFiles.open(path))
      // The files are about to go: what is lazy is loaded now.
      model.tensors = try model.tensors.map {
        var copy = $0
        copy.bytes = TensorBytes(ByteRegion(try $0.bytes.load().array))
        return copy
      }
      models.append(model)
    }
    return (models, outcome.report.stages)
  }

  private func weights(_ tensor: StoredTensor) throws -> [Float] {
    try TensorCoding.decode(
      try tensor.bytes.load(), format: tensor.format, rows: tensor.rowCount, columns: tensor.rowLength
    ).elements
  }

  private func zeros(_ tensor: StoredTensor) throws -> Set<Int> {
    let values = try weights(tensor)
    return Set(values.indices.filter { values[$0] == 0 })
  }

  @Test("magnitude drops the smallest of each matrix and leaves every other bit alone")
  func magnitude() throws {
    let models = try run([PrunePass(.share(0.5), method: .magnitude)]).models
    for (before, after) in zip(models[0].tensors, models[1].tensors) {
      let (old, new) = (try weights(before), try weights(after))
      guard models[0].role(of: before).isLinear else {
        #expect(old.map(\.bitPattern) == new.map(\.bitPattern))
        continue
      }
      let order = old.indices.sorted { (abs(old[$0]), $0) < (abs(old[$1]), $1) }
      var expected = old
      for place in order.prefix(Int((0.5 * Double(old.count)).rounded())) { expected[place] = 0 }
      #expect(new.map(\.bitPattern) == expected.map(\.bitPattern), "\(after.name)")
    }
  }

  @Test("sparsity 0 changes nothing, bit for bit; pruning twice is pruning once; sparsity 1 leaves zeros")
  func edges() throws {
    for pattern in [SparsityPattern.share(0), .groups(kept: 4, of: 4)] {
      let models = try run([PrunePass(pattern, method: .magnitude)]).models
      for (a, b) in zip(models[0].tensors, models[1].tensors) { #expect(try a.hasSameContents(as: b)) }
    }
    let models = try run([
      PrunePass(.groups(kept: 2, of: 4), method: .magnitude),
      PrunePass(.groups(kept: 2, of: 4), method: .magnitude),
      PrunePass(.share(1), method: .magnitude),
    ]).models
    for (a, b) in zip(models[1].tensors, models[2].tensors) { #expect(try a.hasSameContents(as: b)) }
    for tensor in models[3].tensors where models[3].role(of: tensor).isLinear {
      #expect(try zeros(tensor).count == tensor.elementCount)
    }
  }

  @Test(
    "what is rounded afterwards keeps every zero",
    arguments: [
      (QuantizePass(.int8), OutputContainer.gguf), (QuantizePass(.int4), .gguf),
      (QuantizePass(.int4, method: .rtn), .gguf), (QuantizePass(.int8, method: .awq), .gguf),
      (QuantizePass(.format(.int8_channel)), .safetensors), (QuantizePass(.format(.int4_g64)), .safetensors),
      (QuantizePass(.format(.w8a8)), .safetensors), (ShipPass(.bitsPerWeight(4)), .safetensors),
    ] as [(any Pass, OutputContainer)])
  func zerosStay(_ pass: any Pass, _ container: OutputContainer) throws {
    let models = try run([PrunePass(.share(0.5), method: .magnitude), pass], container: container).models
    for (before, after) in zip(models[1].tensors, models[2].tensors) where models[1].role(of: before).isLinear
    {
      #expect(after.format.isQuantized && after.format.holdsZero)
      #expect(try zeros(before).isSubset(of: zeros(after)), "\(after.name) in \(after.format)")
    }
  }

  @Test("a format that cannot hold zeros is used when it is asked for by name, and the report says so")
  func formatsWithoutZero() throws {
    let reports = try run([
      PrunePass(.share(0.5), method: .magnitude), QuantizePass(.format(.q4_k), method: .rtn),
    ]).reports
    #expect(
      reports[2].notes.contains { $0.contains("q4_k cannot hold zeros: pruned weights come back small") })
  }

  @Test("what looks at inputs does less harm than magnitude, and has the sparsity that was asked for")
  func methods() throws {
    func harm(_ pass: PrunePass) throws -> Double {
      let outcome = try run([pass], tokens: 8192)
      let (model, report) = (outcome.models[1], outcome.reports[1])
      let linear = model.tensors.filter { model.role(of: $0).isLinear }
      let zeros = try linear.reduce(0) { $0 + (try self.zeros($1).count) }
      let weights = linear.reduce(0) { $0 + $1.elementCount }
      #expect(abs(Double(zeros) / Double(weights) - 0.5) < 1e-3)
      if case .groups = pass.pattern {
        for tensor in linear {
          let values = try self.weights(tensor)
          for group in stride(from: 0, to: values.count, by: 4) {
            #expect(values[group..<group + 4].count { $0 != 0 } <= 2)
          }
        }
      }
      return try #require(report.divergence?.mean.value)
    }
    for pattern in [SparsityPattern.share(0.5), .groups(kept: 2, of: 4)] {
      let magnitude = try harm(PrunePass(pattern, method: .magnitude))
      var found: [PrunePass.Method: Double] = [:]
      for method in [PrunePass.Method.wanda, .sparsegpt, .refit, .admm] {
        found[method] = try harm(PrunePass(pattern, method: method))
      }
      let (best, paper) = (try #require(found[.admm]), try #require(found[.sparsegpt]))
      #expect(best < magnitude && best < paper, "\(found), magnitude \(magnitude)")
    }
  }

  @Test(
    "pruning twice changes nothing the second time, whatever the method", arguments: PrunePass.Method.allCases
  )
  func twice(_ method: PrunePass.Method) throws {
    for pattern in [SparsityPattern.share(0.5), .groups(kept: 2, of: 4)] {
      let pass = PrunePass(pattern, method: method)
      let models = try run([pass, pass]).models
      for (a, b) in zip(models[1].tensors, models[2].tensors) { #expect(try a.hasSameContents(as: b)) }
    }
  }

  @Test("the same weights on one, two and four threads", arguments: [PrunePass.Method.sparsegpt, .admm])
  func threads(_ method: PrunePass.Method) throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let all = try [1, 2, 4].map { count in
      Parallel.threadCount = count
      return try run([PrunePass(.share(0.5), method: method)]).reports[1].artifact.merkleRoot
    }
    #expect(all[0] == all[1] && all[0] == all[2])
  }

  @Test("behind pruning alone rounding aims at the original: said in the report, the same on any threads")
  func towardsOriginal() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let note = "pruned layers are rounded towards the model before the pruning"
    let gptq = QuantizePass(.format(.int4_g64), method: .gptq)
    let runs = try [1, 3].map { count in
      Parallel.threadCount = count
      return try run([PrunePass(.groups(kept: 2, of: 4)), gptq], container: .safetensors, tokens: 4096)
    }
    #expect(runs[0].reports[2].artifact.merkleRoot == runs[1].reports[2].artifact.merkleRoot)
    #expect(runs[0].reports[2].notes.contains(note))
    for (before, after) in zip(runs[0].models[1].tensors, runs[0].models[2].tensors)
    where after.format.isQuantized {
      #expect(try zeros(before).isSubset(of: zeros(after)), "\(after.name)")
    }
    // Plain rounding looks at nothing.
    let plain = QuantizePass(.format(.int4_g64), method: .rtn)
    let other = try run([PrunePass(.share(0.5), method: .magnitude), plain], container: .safetensors)
    #expect(!other.reports[2].notes.contains(note))
  }

  @Test("embeddings are pruned when they are named, and only then")
  func named() throws {
    let models = try run([PrunePass(.share(0.5), method: .magnitude, also: ["token-embedding"])]).models
    let embedding = try #require(models[1].tensors.first { models[1].role(of: $0) == .tokenEmbedding })
    #expect(try zeros(embedding).count >= embedding.elementCount / 2)
  }

  @Test("what cannot be pruned is refused before anything is written")
  func refusals() throws {
    let model = try Checkpoint.load(try ModelFiles.open(Self.model))
    #expect(throws: PassError("'lm_tail' in 'also' is no role and no name of a tensor of this model")) {
      try PrunePass(.share(0.5), also: ["lm_tail"]).plan(for: model)
    }
    let quantized = try QuantizePass(.int8).plan(for: model).reencode(model)
    let error = #expect(throws: PassError.self) { try PrunePass(.share(0.5)).plan(for: quantized) }
    #expect(error?.description.contains("is already quantized (q8_0): prune first, then quantize") == true)
  }

  @Test("routers of experts are left alone")
  func routers() throws {
    func tensor(_ name: String) -> StoredTensor {
      StoredTensor(
        name: name, shape: [64, 64], format: .f32,
        bytes: TensorBytes(ByteRegion([UInt8](repeating: 1, count: 64 * 64 * 4))))
    }
    let names = [
      "model.layers.0.block_sparse_moe.gate.weight", "blk.0.ffn_gate_inp.weight", "encoder.router.weight",
      "model.layers.0.block_sparse_moe.experts.0.w1.weight", "blk.0.ffn_gate.weight",
    ]
    var model = try Checkpoint.load(try ModelFiles.open(Self.model))
    model.architecture = nil
    model.tensors = names.map(tensor)
    let plan = try PrunePass(.share(0.5)).plan(for: model)
    #expect(plan.entries.map(\.isPruned) == [false, false, false, true, true])
  }
}
