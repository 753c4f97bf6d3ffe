"""The schedules that nn-dataflow finds, as JSON: run by nn_dataflow.py with the pinned packages."""
import json
import sys
import time

from nn_dataflow.core import (Cost, DataCategoryEnum as De, MapStrategyEyeriss, MemHierEnum as Me, NNDataflow,
                              NodeRegion, Option, PhyDim2, Resource)
from nn_dataflow.nns import import_network

config = json.loads(sys.argv[1])
network = import_network(config["network"])
one = PhyDim2(1, 1)
nodes = NodeRegion(dim=one, origin=PhyDim2(0, 0), type=NodeRegion.PROC)
memory = NodeRegion(dim=PhyDim2(2, 2), origin=PhyDim2(0, 0), dist=PhyDim2(0, 0), type=NodeRegion.DRAM)
resource = Resource(
    proc_region=nodes, dram_region=memory, src_data_region=memory, dst_data_region=memory,
    dim_array=PhyDim2(*config["array"]), size_gbuf=config["buffer_bytes"] // 2, size_regf=config["register_bytes"] // 2,
    array_bus_width=float("inf"), dram_bandwidth=float("inf"), no_time_mux=False)
hierarchy = [0] * Me.NUM
hierarchy[Me.DRAM], hierarchy[Me.GBUF], hierarchy[Me.ITCN], hierarchy[Me.REGF] = config["costs"]
cost = Cost(mac_op=1, mem_hier=tuple(hierarchy), noc_hop=0, idl_unit=0)
options = Option(sw_gbuf_bypass=(True,) * De.NUM, sw_solve_loopblocking=False, partition_hybrid=True,
                 opt_goal=config["goal"], ntops=1, nprocesses=1)
begun = time.process_time()
tops, _ = NNDataflow(network, config["batch"], resource, cost, MapStrategyEyeriss).schedule_search(options)
seconds = time.process_time() - begun
layers = []
for name in network:
    layer, found = network[name], tops[0].res_dict[name].scheme
    # Layers with filters: others are no work of a row-stationary array.
    if not hasattr(layer, "nofm") or type(layer).__name__ not in ("ConvLayer", "FCLayer"):
        continue
    layers.append({
        "name": name, "c": layer.nifm, "k": layer.nofm, "h": layer.hifm, "w": layer.wifm, "r": layer.hfil,
        "s": layer.wfil, "stride": layer.htrd, "p": layer.hofm, "q": layer.wofm,
        "cycles": found["time"], "cost": found["cost"], "dram": sum(found["access"][Me.DRAM]),
        "buffer": sum(found["access"][Me.GBUF]), "array": sum(found["access"][Me.ITCN])})
json.dump({"seconds": seconds, "layers": layers}, sys.stdout)
